use Test::More tests => 7;
ok(1, 'passes');
is(1, 2, 'one is two');
SKIP: { skip 'here neither', 1; ok(0) }
TODO: { local $TODO = 'later'; ok(0, 'is to do'); ok(1, 'is done'); }
subtest 'nested' => sub { plan tests => 2; ok(1, 'passes'); ok(0, 'fails') };
ok(1, 'passes');
