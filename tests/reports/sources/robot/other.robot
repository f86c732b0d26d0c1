*** Test Cases ***
Passes
    No Operation
