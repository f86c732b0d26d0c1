@test "passes" { true; }
@test "fails" { echo "one is not two"; false; }
@test "raises" { there_is_no_such_command; }
@test "skips itself" { skip "here neither"; }
@test "says <something> & more" { printf 'a \001 b'; false; }
