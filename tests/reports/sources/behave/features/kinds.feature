Feature: kinds
  Scenario: passes
    Given what passes

  Scenario: fails
    Given what fails

  Scenario: raises
    Given what raises

  Scenario: is undefined
    Given what nobody has defined

  Scenario: skips itself
    Given what skips

  Scenario Outline: of numbers
    Given the number <number>

    Examples:
      | number |
      | 1      |
      | 2      |
      | 3      |

  Scenario Outline: of equals
    Given the number 1

    Examples:
      | number |
      | 1      |
      | 1      |
