#include "ml/exp_plain.h"

#include <math.h>

double exp_plain(double x)
{
	enum { TERMS = 14 };
	static const double ln2 = 0.69314718055994530942;
	double whole, rest, sum = 1;

	if (!(x > -700))
		return 0;
	whole = floor(x / ln2);
	rest = x - whole * ln2;
	for (int i = TERMS; i > 0; i--)
		sum = 1 + rest / i * sum;
	return ldexp(sum, (int)whole);
}
