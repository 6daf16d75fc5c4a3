/* e^x in operations that every machine rounds alike: what is learned is the same in every byte. */
#ifndef GUARD_ML_EXP_PLAIN_H
#define GUARD_ML_EXP_PLAIN_H

/* For x <= 0, as a softmax needs; exact to about 1e-12, 0 from -700 on. */
double exp_plain(double x);

#endif
