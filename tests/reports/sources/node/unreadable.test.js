'use strict';
require('./there-is-no-such-module');
