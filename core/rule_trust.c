#include "core/rule_trust.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/redis.h"
#include "core/text.h"

enum {
	FIELDS_MAX = 4000, /* rules come and go; what nobody writes is no reason to grow */
};

/* Of fields in Redis: "category:ID". */
static const char *const kind_names[TRUST_KINDS] = { "category", "transient" };

/* Below this share a rule does more harm than good. */
static const double least[TRUST_KINDS] = { [TRUST_CATEGORY] = 0.5, [TRUST_TRANSIENT] = 0.3 };

/* --- the posterior ---------------------------------------------------------------------- */

double trust_mean(const struct trust *t)
{
	return (1 + t->right) / (2 + t->right + t->wrong);
}

/* The continued fraction of the incomplete beta function, by Lentz's method. */
static double beta_fraction(double a, double b, double x)
{
	enum { TERMS = 200 };
	static const double tiny = 1e-30;
	double c = 1, d = 1 / fmax(fabs(1 - (a + b) * x / (a + 1)), tiny), h = d;

	for (int m = 1; m <= TERMS; m++) {
		double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
		double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));

		d = 1 / (1 + even * d);
		c = 1 + even / c;
		h *= d * c;
		d = 1 / (1 + odd * d);
		c = 1 + odd / c;
		h *= d * c;
		if (fabs(d * c - 1) < 1e-12)
			break;
	}
	return h;
}

/* P(share < x) for Beta(a, b). */
static double beta_cdf(double a, double b, double x)
{
	double front;

	if (x <= 0 || x >= 1)
		return x >= 1;
	front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
	/* It converges fast on this side of the mean, and is symmetric. */
	if (x < (a + 1) / (a + b + 2))
		return front * beta_fraction(a, b, x) / a;
	return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

static double quantile(const struct trust *t, double p)
{
	double low = 0, high = 1;

	for (int i = 0; i < 40; i++) {
		double x = (low + high) / 2;

		if (beta_cdf(1 + t->right, 1 + t->wrong, x) < p)
			low = x;
		else
			high = x;
	}
	return (low + high) / 2;
}

void trust_bounds(const struct trust *t, double *low, double *high)
{
	*low = quantile(t, 0.05);
	*high = quantile(t, 0.95);
}

bool trust_is_demoted(enum trust_kind kind, const struct trust *t)
{
	return beta_cdf(1 + t->right, 1 + t->wrong, least[kind]) >= 0.95;
}

/* --- the book --------------------------------------------------------------------------- */

void trust_book_free(struct trust_book *book)
{
	if (!book)
		return;
	free(book->at);
	free(book);
}

static size_t index_of(const struct trust_book *book, const char *rule)
{
	size_t i = 0;

	while (i < book->n && strcmp(book->at[i].rule, rule) != 0)
		i++;
	return i;
}

const struct trust_entry *trust_book_find(const struct trust_book *book, const char *rule)
{
	size_t i = book ? index_of(book, rule) : 0;

	return book && i < book->n ? &book->at[i] : NULL;
}

static struct trust_entry *entry_of(struct trust_book *book, const char *rule)
{
	size_t i = index_of(book, rule);

	if (i < book->n)
		return &book->at[i];
	if (book->n == book->cap) {
		book->cap = book->cap ? 2 * book->cap : 32;
		book->at = xrealloc(book->at, book->cap * sizeof(*book->at));
	}
	book->n++;
	book->at[i] = (struct trust_entry){ .rule = "" };
	(void)text_copy(book->at[i].rule, sizeof(book->at[i].rule), rule, strlen(rule));
	return &book->at[i];
}

/* "RIGHT WRONG AT_MS", as of then. */
static bool read_answers(const char *text, int64_t now_ms, struct trust *out)
{
	char *end;
	double right = strtod(text, &end), wrong = strtod(end, &end);
	double at_ms = strtod(end, &end), share;

	if (*end || !(right >= 0 && right < 1e9) || !(wrong >= 0 && wrong < 1e9) || !(at_ms > 0))
		return false;
	share = at_ms < (double)now_ms
			? exp2(-((double)now_ms - at_ms) / (double)TRUST_HALF_LIFE_MS)
			: 1;
	*out = (struct trust){ right * share, wrong * share };
	return true;
}

static void read_field(struct trust_book *book, const char *field, const char *value,
		       int64_t now_ms)
{
	for (size_t k = 0; k < TRUST_KINDS; k++) {
		size_t n = strlen(kind_names[k]);
		struct trust answers;

		if (strncmp(field, kind_names[k], n) != 0 || field[n] != ':' ||
		    strlen(field + n + 1) >= sizeof(((struct trust_entry *)0)->rule))
			continue;
		if (read_answers(value, now_ms, &answers))
			entry_of(book, field + n + 1)->trust[k] = answers;
	}
}

struct trust_book *trust_book_read(const struct redisReply *reply, int64_t now_ms)
{
	struct trust_book *book = xcalloc(1, sizeof(*book));

	for (size_t i = 0; i + 1 < redis_len(reply) && i / 2 < FIELDS_MAX; i += 2) {
		const char *field = redis_str(redis_at(reply, i));
		const char *value = redis_str(redis_at(reply, i + 1));

		if (field && value)
			read_field(book, field, value, now_ms);
	}
	return book;
}

/* --- scripts ---------------------------------------------------------------------------- */

/* KEYS rules; ARGV kind rule right (1 or 0) half life, most fields. */
struct redis_script trust_note_script = {
	.name = "trust_note",
	.body = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "
		"local field = ARGV[1] .. ':' .. ARGV[2] "
		"local was = redis.call('HGET', KEYS[1], field) "
		"if not was and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[5]) then "
		"  return 'full' "
		"end "
		"local r, w, at = string.match(was or '0 0 0', '^(%S+) (%S+) (%S+)$') "
		"local age = math.max(now - (tonumber(at) or 0), 0) "
		"local share = 0.5 ^ (age / tonumber(ARGV[4])) "
		"r, w = (tonumber(r) or 0) * share, (tonumber(w) or 0) * share "
		"if ARGV[3] == '1' then r = r + 1 else w = w + 1 end "
		"redis.call('HSET', KEYS[1], field, string.format('%.4f %.4f %.0f', r, w, now)) "
		"return 'ok'",
};

/* KEYS run; ARGV verdict. */
struct redis_script trust_feedback_script = {
	.name = "trust_feedback",
	.body = "local run = redis.call('HMGET', KEYS[1], 'finding', 'finding_generation', "
		"'feedback') "
		"if not run[1] then return {'no run'} end "
		"local read, finding = pcall(cjson.decode, run[1]) "
		"local rule = read and type(finding) == 'table' and finding.rule "
		"if type(rule) ~= 'string' or rule == '' or #rule > 64 then return {'no rule'} end "
		"local attempt = run[2] or '0' "
		"if run[3] and string.match(run[3], '^%d+') == attempt then return {'already'} end "
		"redis.call('HSET', KEYS[1], 'feedback', attempt .. ' ' .. ARGV[1]) "
		"return {'ok', rule}",
};

void trust_note_cmd(struct redis_cmd *cmd, const char *rules_key, enum trust_kind kind,
		    const char *rule, bool right)
{
	redis_script_cmd(cmd, &trust_note_script, 1);
	redis_arg(cmd, rules_key);
	redis_arg(cmd, kind_names[kind]);
	redis_arg(cmd, rule);
	redis_arg(cmd, right ? "1" : "0");
	redis_arg_i64(cmd, TRUST_HALF_LIFE_MS);
	redis_arg_i64(cmd, FIELDS_MAX);
}

void trust_feedback_cmd(struct redis_cmd *cmd, const char *run_key, bool right)
{
	redis_script_cmd(cmd, &trust_feedback_script, 1);
	redis_arg(cmd, run_key);
	redis_arg(cmd, right ? "confirmed" : "rejected");
}
