const reporters = require('jasmine-reporters');
jasmine.getEnv().addReporter(new reporters.JUnitXmlReporter({ savePath: '.', consolidateAll: true, filePrefix: 'report' }));
