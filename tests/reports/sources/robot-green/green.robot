*** Test Cases ***
Passes
    No Operation

Skips Itself
    Skip    not now
