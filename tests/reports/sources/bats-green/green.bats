@test "passes" { true; }
@test "skips itself" { skip "here neither"; }
