/* Where links to a run lead: a plain page that says what is true of it. */
#include <inttypes.h>
#include <string.h>

#include "core/http_server.h"
#include "core/text.h"
#include "tests/simulator/sim.h"

enum { PAGE_MAX = 1 << 20 };

static void put_html(struct buf *b, const char *s)
{
	for (; *s; s++) {
		if (*s == '<')
			buf_puts(b, "&lt;");
		else if (*s == '&')
			buf_puts(b, "&amp;");
		else
			buf_putc(b, *s);
	}
}

static void put_attempt(struct buf *b, const struct run *r, unsigned number)
{
	const struct attempt *a = run_attempt(r, number);

	buf_printf(b, "<h2>Attempt %u: %s</h2>\n<p>started by ", number,
		   a->conclusion ? a->conclusion : state_name(a->state));
	put_html(b, a->actor);
	buf_puts(b, "</p>\n<ul>\n");
	for (unsigned i = 0; i < a->n_jobs; i++) {
		const struct job *j = &a->jobs[i];

		buf_puts(b, "<li>");
		put_html(b, j->name);
		buf_printf(b, ": %s%s</li>\n", j->conclusion ? j->conclusion : state_name(j->state),
			   j->carried ? ", from an earlier attempt" : "");
	}
	buf_puts(b, "</ul>\n");
}

static void put_page(struct buf *b, const struct run *r)
{
	buf_puts(b, "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n"
		    "<meta name=\"viewport\" content=\"width=device-width\">\n"
		    "<meta name=\"color-scheme\" content=\"light dark\">\n<title>");
	put_html(b, r->repo->full_name);
	buf_printf(b, " run %" PRIu64 "</title>\n", r->id);
	buf_puts(b, "<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem "
		    "auto;padding:0 1rem}</style>\n<h1>");
	put_html(b, r->repo->full_name);
	buf_puts(b, ": ");
	put_html(b, r->workflow->name);
	buf_printf(b, " #%" PRIu64 "</h1>\n<p>A run of the simulated CI server. Branch ",
		   r->number);
	put_html(b, r->branch);
	buf_printf(b, ", commit %.7s.</p>\n<p><strong>The truth:</strong> %s%s%s</p>\n", r->sha,
		   r->cause ? r->cause->category : "nothing is wrong with it", r->cause ? ", " : "",
		   r->cause ? r->cause->id : "");
	for (unsigned n = r->n_attempts; n >= 1; n--)
		put_attempt(b, r, n);
}

/* "/owner/name/actions/runs/123" and what is below it. */
bool page_serve(struct sim *sim, struct http_request *http)
{
	const char *at = strstr(http->path, "/actions/runs/");
	const struct run *r = NULL;
	char digits[24];
	uint64_t id;
	struct buf b;

	if (!at || strcmp(http->method, "GET") != 0 || text_starts(http->path, "/repos/"))
		return false;
	at += strlen("/actions/runs/");
	if (text_copy(digits, sizeof(digits), at, strspn(at, "0123456789")) &&
	    text_to_u64(digits, &id))
		r = world_find(sim->world, id);
	if (!r) {
		http_reply_text(http, 404, "text/plain; charset=utf-8",
				"This run is not known here (any more).\n");
		return true;
	}
	buf_init(&b, PAGE_MAX);
	put_page(&b, r);
	http_reply(http, 200, "text/html; charset=utf-8", buf_text(&b), b.len);
	buf_done(&b);
	return true;
}
