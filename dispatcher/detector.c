#include "dispatcher/detector.h"
