use Test::More tests => 5;
ok(1, 'passes');
SKIP: { skip 'here neither', 1; ok(0) }
TODO: { local $TODO = 'later'; ok(0, 'is to do') }
subtest 'nested' => sub { plan tests => 2; ok(1, 'passes'); ok(1, 'too') };
ok(1, 'passes');
