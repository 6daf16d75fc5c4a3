/* GitLab's REST API: how its parts say what they serve. */
#ifndef GUARD_TESTS_GITLAB_H
#define GUARD_TESTS_GITLAB_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/simulator/faults.h"

struct ask;
struct run;

struct gitlab_route {
	/* {n} a number: project, then what it is about; {p} a group or a project; {f} a file,
	 * a branch, a commit */
	const char *method, *path;
	enum call call;
	void (*serve)(struct ask *, struct run *, unsigned job);
	enum gitlab_about {
		ABOUT_PIPELINE, /* the second number; serve() gets it */
		ABOUT_JOB,      /* the same, of a job */
		ABOUT_PROJECT,
		ABOUT_ALL, /* a list of projects */
	} about;
	bool write;
};

#define PROJECT "/api/v4/projects/{n}"

extern const struct gitlab_route gitlab_git_routes[];
extern const size_t n_gitlab_git_routes;

/* {"message":"..."} */
void gitlab_refuse(struct ask *, int status, const char *message);
void gitlab_reply_pipeline(struct ask *, int status, const struct run *);

#endif
