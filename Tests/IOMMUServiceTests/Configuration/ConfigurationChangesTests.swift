import Testing

@testable import IOMMUService

@Suite struct ConfigurationChangesTests {
    @Test func sameFileChangesNothing() {
        var configuration = Configuration()
        #expect(configuration.reload(Configuration()).isEmpty)
        #expect(configuration == Configuration())
    }

    @Test func liveKeysAreTakenOthersReported() {
        var new = Configuration()
        new.daemon.logLevel = .debug
        new.daemon.socket = "/other"
        new.limits.batch = 5
        new.limits.workers = 9
        new.access.rules = [AccessPolicy.Rule(uids: [9])]
        new.topology.devices.removeLast()

        var configuration = Configuration()
        let changes = configuration.reload(new)
        #expect(changes.live == ["daemon.log_level", "allow", "limits.batch"])
        #expect(changes.needRestart == ["daemon.socket", "device", "limits.workers"])
        #expect(configuration.daemon.logLevel == .debug)
        #expect(configuration.limits.batch == 5)
        #expect(configuration.access == new.access)
        #expect(configuration.daemon.socket == nil)
        #expect(configuration.limits.workers == 4)
        #expect(configuration.topology == .laboratory)
        #expect(configuration.reload(new).live.isEmpty, "taken once")
    }

    @Test func sharesAreTaken() {
        var new = Configuration()
        new.shares.fraction = 0.25
        new.shares.byUser = [7: 1]
        var configuration = Configuration()
        #expect(configuration.reload(new).live == ["limits.share", "share"])
        #expect(configuration == new)
    }

    @Test func everyLimitIsComparedAndTaken() {
        for key in LimitsConfiguration.keys {
            var new = Configuration()
            new.limits[keyPath: key.path] += 1
            var configuration = Configuration()
            let changes = configuration.reload(new)
            #expect(changes.live + changes.needRestart == ["limits." + key.name])
            #expect((configuration == new) == key.isLive)
        }
    }
}
