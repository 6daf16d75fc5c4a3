/*
 * The incident brake: what fails in many repositories within minutes is one outage
 * (docs/incidents.md). Plans that have its subject wait while one of them, the canary, is tried now
 * and then; when that works, they go bit by bit. The state is in Redis, shared by all dispatchers.
 */
#ifndef GUARD_DISPATCHER_INCIDENT_H
#define GUARD_DISPATCHER_INCIDENT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/incident.h"

struct engine;
struct finding;
struct redis_cmd;
struct redisReply;
struct task;

/*
 * At the end of a diagnosis that trying again can help: counts the repository, and opens an
 * incident when it is the one too many. then(task, covered) follows in any case; covered: there
 * is an incident of it. `host` is kept with the plan, "" when there is none.
 */
void incident_note(struct task *, const struct finding *, const char *host,
		   void (*then)(struct task *, bool covered));

/*
 * For the admit script. INCIDENT_LUA defines incident_ask(key, plan, first, known), which reads
 * ARGV from `first` on as incident_args() adds them, wants `now`, and gives nil or what to answer:
 * {'incident', wait_ms, why}; and incident_take(), which makes it so when nothing else objects.
 */
#define INCIDENT_LUA                                                                               \
	"local incident_found = {} "                                                               \
	"local function incident_read(key, subject) "                                              \
	"  local raw = redis.call('HGET', key, subject) "                                          \
	"  if not raw then return nil end "                                                        \
	"  local ok, r = pcall(cjson.decode, raw) "                                                \
	"  return ok and type(r) == 'table' and r or nil "                                         \
	"end "                                                                                     \
	"local function incident_save(key, subject, r) "                                           \
	"  redis.call('HSET', key, subject, cjson.encode(r)) "                                     \
	"end "                                                                                     \
	"local function incident_left(r, plan, first, known) "                                     \
	"  if r.state == 'releasing' then return known and 0 or r.next_release_ms - now end "      \
	"  if r.canary == plan then return 0 end "                                                 \
	"  local left = math.max(r.until_ms or 0, r.next_probe_ms) - now "                         \
	"  if r.canary ~= '' and r.canary_until_ms > now then "                                    \
	"    left = math.max(left, tonumber(ARGV[first])) "                                        \
	"  end "                                                                                   \
	"  return left "                                                                           \
	"end "                                                                                     \
	"local function incident_ask(key, plan, first, known) "                                    \
	"  for i = first + 3, #ARGV do "                                                           \
	"    local r = incident_read(key, ARGV[i]) "                                               \
	"    local left = r and incident_left(r, plan, first, known) or 0 "                        \
	"    if left > 0 then "                                                                    \
	"      if now - (r.asked_ms or 0) > 5000 then "                                            \
	"        r.asked_ms = now "                                                                \
	"        incident_save(key, ARGV[i], r) "                                                  \
	"      end "                                                                               \
	"      return {'incident', math.min(left, tonumber(ARGV[first])), "                        \
	"        'incident ' .. ARGV[i] .. ' (' .. r.repositories .. ' repositories): waits ' .. " \
	"        (r.state == 'releasing' and 'for its turn' or 'for the canary')} "                \
	"    end "                                                                                 \
	"    if r then incident_found[ARGV[i]] = r end "                                           \
	"  end "                                                                                   \
	"end "                                                                                     \
	"local function incident_take(key, plan, first, known) "                                   \
	"  for subject, r in pairs(incident_found) do "                                            \
	"    if r.state ~= 'releasing' then "                                                      \
	"      if r.canary ~= plan then r.probes = r.probes + 1 end "                              \
	"      r.canary, r.canary_until_ms = plan, now + ARGV[first + 1] "                         \
	"    elseif not known then "                                                               \
	"      r.next_release_ms, r.last_ms = now + ARGV[first + 2], now "                         \
	"      r.released = r.released + 1 "                                                       \
	"    end "                                                                                 \
	"    incident_save(key, subject, r) "                                                      \
	"  end "                                                                                   \
	"end "

void incident_key(const struct engine *, char key[static KEY_MAX]);
void incident_args(const struct task *, struct redis_cmd *);
/* {'incident', wait_ms, why}: holds the task, or ends it with ended(task, why) after a day. */
void incident_hold(struct task *, const struct redisReply *,
		   void (*ended)(struct task *, const char *why));
/* Of a plan that was held before: go(task) follows unless it still has to wait. Asks Redis alone.
 */
void incident_peek(struct task *, void (*go)(struct task *),
		   void (*ended)(struct task *, const char *why));

/*
 * The task's plan ended so: what it says about incidents it belongs to. then(task, covered) follows
 * in any case.
 */
void incident_ended(struct task *, const char *result, void (*then)(struct task *, bool covered));

/* Ends incidents that are over, now and then; any number of dispatchers may. */
void incident_sweep(struct engine *);

#endif
