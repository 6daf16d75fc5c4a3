/*
 * What became of incidents, told to the channels of notifications: the stream pg:{R}:incident:news
 * is worked off by whichever dispatcher looks first. At least once; a channel hears each once.
 */
#ifndef GUARD_DISPATCHER_INCIDENT_NEWS_H
#define GUARD_DISPATCHER_INCIDENT_NEWS_H

struct engine;

/* Cheap to call often. */
void incident_news_tell(struct engine *);

#endif
