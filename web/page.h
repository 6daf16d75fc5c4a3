/* The page's files, embedded at build. */
#ifndef GUARD_WEB_PAGE_H
#define GUARD_WEB_PAGE_H

#include <stdbool.h>
#include <stddef.h>

struct http_request;

struct page_file {
	const char *name; /* "page.css" */
	const unsigned char *data;
	size_t len;
};

/* Generated; a row without a name ends it. */
extern const struct page_file page_files[];

/* Answers "/" and "/assets/...". False when there is no such file. */
bool page_handle(struct http_request *);

#endif
