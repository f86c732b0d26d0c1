'use strict';
const { test } = require('node:test');
test('passes', () => {});
for (const number of [1, 2]) test('of equals', () => number);
