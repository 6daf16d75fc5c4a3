#include "receiver/receiver.h"
