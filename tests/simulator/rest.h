/* GitHub's REST API: how its parts say what they serve. */
#ifndef GUARD_TESTS_REST_H
#define GUARD_TESTS_REST_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/simulator/access.h"
#include "tests/simulator/faults.h"

struct ask;
struct depot;
struct json_object;

struct route {
	/* {o}/{r} is the repository, {n} a number, {p} any text up to what follows it */
	const char *method, *path;
	enum call call;
	void (*serve)(struct ask *);
	bool write, app;  /* changes something; for the App itself */
	enum scope scope; /* what the token of an installation needs */
};

#define REPO "/repos/{o}/{r}"

extern const struct route github_git_routes[], github_pull_routes[], github_dispatch_routes[];
extern const size_t n_github_git_routes, n_github_pull_routes, n_github_dispatch_routes;

void rest_not_found(struct ask *);
/* 422 with GitHub's list of errors: of that resource, field and code; `message` with "custom". */
void rest_invalid(struct ask *, const char *resource, const char *field, const char *code,
		  const char *message);
/* The body, {} when there is none. False: it is no JSON object, and that is answered. */
bool rest_body(struct ask *, struct json_object **out);
/* The repository of the path as git has it. NULL: answered. */
struct depot *rest_depot(struct ask *);

#endif
