#include "healers/toolbox.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/child.h"
#include "core/conf.h"
#include "core/finding.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "healers/change_tool.h"
#include "healers/healer.h"

enum { LACKS_MAX = 48, WHY_MAX = 200, LOOK_MS = 60 * 1000, OUTPUT_MAX = 64 << 10 };

struct lack {
	char program[32], why[64];
};

struct toolbox {
	char sandbox[WHY_MAX]; /* why there is none; "": there is one */
	struct lack lacks[LACKS_MAX];
	size_t n;
	struct child *look; /* NULL: nobody looks */
};

struct toolbox *toolbox_new(void)
{
	return xcalloc(1, sizeof(struct toolbox));
}

void toolbox_free(struct toolbox *t)
{
	if (t)
		child_cancel(t->look);
	free(t);
}

int toolbox_take(struct toolbox *t, const char *report, size_t n, struct err *err)
{
	OWNED(json_putp) struct json_object *o = NULL;
	struct json_object *list;

	if (json_parse(report, n, &o, err) < 0)
		return -1;
	list = json_at(o, "programs");
	if (!json_object_is_type(list, json_type_array) || !json_at(o, "sandbox"))
		return err_set(err, ERR_BUG, "doctor said something else than what it found");
	(void)snprintf(t->sandbox, sizeof(t->sandbox), "%s", json_str(o, "sandbox.why", ""));
	t->n = 0;
	for (size_t i = 0; i < json_object_array_length(list) && t->n < LACKS_MAX; i++) {
		struct json_object *one = json_object_array_get_idx(list, i);
		const char *name = json_str(one, "name", "");
		struct lack *l = &t->lacks[t->n];

		if (*json_str(one, "path", ""))
			continue;
		(void)snprintf(l->program, sizeof(l->program), "%s", name);
		(void)snprintf(l->why, sizeof(l->why), "%.31s is not installed", name);
		t->n++;
	}
	return 0;
}

/* --- looking -----------------------------------------------------------------------------------
 */

static void tell(const struct toolbox *t)
{
	OWNED(buf_done) struct buf names;

	buf_init(&names, LACKS_MAX * sizeof(struct lack));
	for (size_t i = 0; i < t->n; i++)
		buf_printf(&names, "%s%s", i ? " " : "", t->lacks[i].program);
	if (*t->sandbox)
		log_warn("strategies that run programs cannot work here", KV("why", t->sandbox));
	if (t->n)
		log_info("programs that strategies could use are not installed",
			 KV("programs", buf_text(&names)));
}

static void on_looked(const struct child_end *e, void *arg)
{
	struct toolbox *t = arg;
	struct err err = { 0 };

	t->look = NULL;
	if (e->late || e->over || toolbox_take(t, e->out, e->n, &err) < 0)
		log_warn("what strategies need of this machine is not known",
			 KV("why", *err.msg ? err.msg : "doctor did not end"));
	else
		tell(t);
}

int toolbox_look(struct toolbox *t, struct event_base *base, const struct conf *conf,
		 struct err *err)
{
	const char *more = conf_str(conf, "security.commands");
	OWNED(freep) char *folder = xasprintf("change.folder=%s", conf_str(conf, "change.folder"));
	OWNED(freep) char *commands = xasprintf("security.commands=%s", more ? more : "");
	char self[PATH_MAX];
	const char *argv[] = { self, "doctor", "--json", "--set", folder, "--set", commands, NULL };

	child_cancel(t->look);
	t->look = NULL;
	return child_self(self, sizeof(self), err) < 0
		       ? -1
		       : child_start(base, argv, LOOK_MS, OUTPUT_MAX, on_looked, t, &t->look, err);
}

/* --- asking ------------------------------------------------------------------------------------
 */

static const char *lacks_program(const struct toolbox *t, const char *program)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->lacks[i].program, program) == 0)
			return t->lacks[i].why;
	return NULL;
}

static const char *lacks_tool(const struct toolbox *t, const struct change_tool *tool)
{
	const char *why = *t->sandbox ? t->sandbox : NULL;

	for (size_t i = 0; !why && i < CHANGE_TOOL_COMMANDS_MAX && tool->commands[i].argv; i++)
		why = lacks_program(t, tool->commands[i].argv[0]);
	return why;
}

/* Of the repairs only some are git's own work. */
static bool runs_git(const struct finding *f)
{
	static const char *const words[] = { "interrupted", "bad_index", "gc" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(words[i], f->subcategory) == 0)
			return true;
	return false;
}

const char *toolbox_lacks(const struct toolbox *t, const struct healer *h, const struct finding *f)
{
	const struct change_tool *tool = h->in_tree ? change_tool_for(h->name, f) : NULL;

	if (!t)
		return NULL;
	if (tool)
		return lacks_tool(t, tool);
	if (h->local && runs_git(f))
		return *t->sandbox ? t->sandbox : lacks_program(t, "git");
	return NULL;
}
