/* What a text model says of a failure that no rule is sure of. */
#ifndef GUARD_DISPATCHER_SECOND_OPINION_H
#define GUARD_DISPATCHER_SECOND_OPINION_H

#include "dispatcher/detector.h"
#include "dispatcher/scan.h"

struct text_model;

/* The lines to be asked about, borrowed from the scan. */
size_t second_opinion_words(const struct scan *, const char *lines[static DETECT_WORDS_MAX]);

/*
 * Of a finding that is unknown or that its rule is not sure of: names the category when the model
 * is sure enough, with the lines that told it as evidence; of an unknown one else the likely
 * alternatives. Never makes a finding transient, and lets one that is alone.
 */
void second_opinion(const struct text_model *, const struct scan *, struct arena *,
		    struct finding *);

#endif
