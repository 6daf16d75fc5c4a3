/* All rules of a directory, loaded and proven, in the order of file names and lines. */
#ifndef GUARD_DISPATCHER_RULE_SET_H
#define GUARD_DISPATCHER_RULE_SET_H

#include "dispatcher/rule.h"

enum { RULES_MAX = 2000, RULE_FILES_MAX = 200, RULE_FILE_BYTES_MAX = 4 << 20 };

struct rule_set {
	struct rule *rules;
	size_t n;
	struct rule_file **files; /* own the specs */
	size_t n_files;
	char **names; /* of the files, when it was checked */
	bool proven;  /* the same files were before; see rule_set_load_cached() */
};

/*
 * Reads every *.yaml in dir. The first fault refuses the whole set, with the
 * file and the rule or the line and column in the message.
 */
int rule_set_load(const char *dir, struct rule_set **out, struct err *) MUST_CHECK;
/*
 * The same. That these very files were proven is kept in `proven` under the cache folder (NULL:
 * nowhere), which saves a third of a start.
 */
int rule_set_load_cached(const char *dir, const char *cache_folder, struct rule_set **out,
			 struct err *) MUST_CHECK;
/* The same from one text; `name` is for messages. */
int rule_set_parse(const char *name, const char *yaml, size_t n, struct rule_set **out,
		   struct err *) MUST_CHECK;
/*
 * For people who write rules: every fault is told, with the file and its line, and the set has
 * the rules that are well, perhaps none, with theirs.
 */
typedef void rule_fault_fn(const char *file, unsigned line, const char *what, void *arg);
int rule_set_check(const char *dir, rule_fault_fn *, void *arg, struct rule_set **out,
		   struct err *) MUST_CHECK;
void rule_set_free(struct rule_set *);
DEFINE_OWNED(struct rule_set, rule_set_free)

#endif
