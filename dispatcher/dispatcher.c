#include "dispatcher/dispatcher.h"
