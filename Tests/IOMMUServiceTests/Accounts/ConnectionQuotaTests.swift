import IOMMU
import Testing

@testable import IOMMUService

@Suite struct ConnectionQuotaTests {
    private func client(_ uid: UInt32, isAdmin: Bool = false) -> ClientIdentity {
        ClientIdentity(uid: uid, gid: uid, pid: 1, isAdmin: isAdmin)
    }

    private func refusal(_ quota: inout ConnectionQuota, _ client: ClientIdentity, _ fraction: Double) -> IOMMUError? {
        var limits = LimitsConfiguration()
        limits.connections = 20
        limits.connectionsPerUID = 15
        do throws(IOMMUError) {
            try quota.admit(client, limits, fraction: fraction)
            return nil
        } catch {
            return error
        }
    }

    private func fill(_ quota: inout ConnectionQuota, _ client: ClientIdentity, _ fraction: Double) -> (
        Int, IOMMUError?
    ) {
        for count in 0..<100 {
            if let error = refusal(&quota, client, fraction) { return (count, error) }
        }
        return (100, nil)
    }

    @Test func aUserGetsAShareAndAdministratorsTheLastTenth() {
        var quota = ConnectionQuota()
        let one = fill(&quota, client(1), 0.5)
        #expect(one.0 == 10 && one.1?.errno == .EDQUOT && one.1?.hint.contains("limits.share") == true)
        let two = fill(&quota, client(2), 0.5)
        #expect(two.0 == 8 && two.1?.hint.contains("limits.connections") == true)
        #expect(refusal(&quota, client(0, isAdmin: true), 0.5) == nil)
        quota.release(client(1))
        #expect(refusal(&quota, client(2), 0.5) == nil)
        #expect(refusal(&quota, client(1), 0.5)?.errno == .EDQUOT)
    }

    @Test func theLimitByUserHoldsForAll() {
        var quota = ConnectionQuota()
        let one = fill(&quota, client(1), 1)
        #expect(one.0 == 15 && one.1?.hint.contains("limits.connections_per_uid") == true)
        let root = fill(&quota, client(0, isAdmin: true), 1)
        #expect(root.0 == 15 && root.1?.errno == .EDQUOT)
    }

    @Test func descriptorsAreForEverybodyButTheLastTenth() throws {
        let pool = Pool(
            "descriptors", capacity: 100, reserved: 10,
            exhausted: IOMMUError(.EMFILE, .noDescriptors, "none left", hint: "this is a test"))
        let accounts = (0..<3).map { Account(uid: $0, descriptors: pool) }
        for account in accounts { account.setFraction(0.5) }
        try accounts[1].charge(50, of: .descriptors)
        #expect(throws: IOMMUError.self) { try accounts[1].charge(1, of: .descriptors) }
        try accounts[2].charge(40, of: .descriptors)
        do {
            try accounts[2].charge(1, of: .descriptors)
            Issue.record("it was not refused")
        } catch {
            #expect(error.errno == .EMFILE && error.reason == .noDescriptors)
        }
        #expect(accounts[2].used(.descriptors) == 40, "a refused charge counts nothing")
        accounts[0].makeAdministrator()
        try accounts[0].charge(60, of: .descriptors)
        accounts[1].release(5, of: .descriptors)
        try accounts[2].charge(5, of: .descriptors)
        // Whoever turns out to be an administrator counts as one.
        accounts[2].makeAdministrator()
        try accounts[1].charge(5, of: .descriptors)
        #expect(pool.usedByUsers == 50)
        accounts[2].release(45, of: .descriptors)
        #expect(pool.usedByUsers == 50 && accounts[2].isEmpty)
    }
}
