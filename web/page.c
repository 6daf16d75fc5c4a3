#include "web/page.h"

#include <stdio.h>
#include <string.h>

#include "core/crypto.h"
#include "core/http_server.h"
#include "core/text.h"

static const char *type_of(const char *name)
{
	static const char *const types[][2] = {
		{ ".html", "text/html; charset=utf-8" },
		{ ".css", "text/css; charset=utf-8" },
		{ ".js", "text/javascript; charset=utf-8" },
		{ ".svg", "image/svg+xml" },
	};

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (text_ends(name, types[i][0]))
			return types[i][1];
	return "application/octet-stream";
}

static const struct page_file *find(const char *path)
{
	static const char folder[] = "/assets/";
	const char *name;

	if (strcmp(path, "/") == 0)
		name = "page.html";
	else if (strcmp(path, "/favicon.ico") == 0)
		name = "icon.svg";
	else if (text_starts(path, folder))
		name = path + strlen(folder);
	else
		return NULL;
	for (const struct page_file *f = page_files; f->name; f++)
		if (strcmp(f->name, name) == 0)
			return f;
	return NULL;
}

bool page_handle(struct http_request *req)
{
	const struct page_file *f = find(req->path);
	const char *known = http_request_header(req, "If-None-Match");
	unsigned char digest[SHA256_BYTES];
	char tag[2 + 2 * 16 + 1];

	if (!f)
		return false;
	/* 30 KB hash in some 30 us, and only when somebody opens the page. */
	sha256(f->data, f->len, digest);
	tag[0] = '"';
	hex_encode(digest, 16, tag + 1);
	(void)snprintf(tag + 33, 2, "\"");
	http_reply_header(req, "ETag", tag);
	/* A new release must not meet the old script: ask each time, and be told 304. */
	http_reply_header(req, "Cache-Control", "no-cache");
	if (known && strstr(known, tag))
		http_reply(req, 304, NULL, NULL, 0);
	else
		http_reply(req, 200, type_of(f->name), (const char *)f->data, f->len);
	return true;
}
