#include "dispatcher/yaml_complaint.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base.h"
#include "core/text.h"

/* libcyaml explains a fault in its log: the fault first, then where, innermost first. */
PRINTF_LIKE(3, 0)
static void hear(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
	struct yaml_complaint *c = ctx;
	size_t n;
	char line[160];

	if (!c || level < CYAML_LOG_ERROR || strstr(c->text, "column"))
		return;
	n = strlen(c->text);
	(void)vsnprintf(line, sizeof(line), fmt, args);
	line[strcspn(line, "\n")] = '\0';
	if (strstr(line, "Backtrace"))
		return;
	(void)snprintf(c->text + n, sizeof(c->text) - n, "%s%s", n ? ", " : "",
		       text_starts(line, "Load: ") ? line + 6 : line);
}

cyaml_config_t yaml_config(struct yaml_complaint *c)
{
	return (cyaml_config_t){
		.log_fn = hear,
		.log_ctx = c,
		.mem_fn = cyaml_mem,
		.log_level = CYAML_LOG_ERROR,
		.flags = CYAML_CFG_NO_ALIAS,
	};
}
