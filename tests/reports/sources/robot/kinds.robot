*** Test Cases ***
Passes
    Log    said something

Fails
    Should Be Equal    one    two

Is Skipped
    [Tags]    robot:skip
    No Operation

Skips Itself
    Skip    not now

Raises
    There Is No Such Keyword

Broken Before
    [Setup]    Fail    no database
    No Operation

Broken After
    No Operation
    [Teardown]    Fail    still open

Of Numbers
    [Template]    Should Not Be Equal As Integers
    1    2
    2    2
    3    2
