import IOMMU
import IOMMUService
import Testing

struct SessionTableTests {
    private let table = SessionTable(limits: SessionLimits()) { id, owner, _, _ in FakeContext(id: id, owner: owner) }

    private func context(_ session: Session) throws -> FakeContext { try #require(session.context as? FakeContext) }

    @Test func privateSessionEndsWithItsConnection() throws {
        let client = table.connect(.user(1000))
        let held = try context(client.session)
        _ = try held.allocateIOAS()
        #expect(table.count == 1)
        table.disconnect(client)
        #expect(held.isClosed)
        #expect(table.count == 0)
    }

    @Test func namedSessionOutlivesItsConnectionsAndIsShared() throws {
        let first = table.connect(.user(1000))
        let session = try table.attach(first, name: "vm1", create: true)
        _ = try context(session).allocateIOAS()
        let second = table.connect(.user(1000))
        #expect(try table.attach(second, name: "vm1", create: false) === session)
        #expect(session.clients.count == 2)
        table.disconnect(first)
        table.disconnect(second)
        #expect(try !context(session).isClosed)
        let third = table.connect(.user(1000))
        #expect(try table.attach(third, name: "vm1", create: true) === session)
        #expect(session.context.objects().count == 1)
    }

    @Test func attachNeedsAnEmptyPrivateSession() throws {
        let client = table.connect(.user(1000))
        let held = try context(client.session)
        _ = try held.allocateIOAS()
        let error = #expect(throws: IOMMUError.self) { try table.attach(client, name: "vm1", create: true) }
        #expect(error?.errno == .EBUSY)
        #expect(error?.reason == .sessionNotEmpty)
        #expect(table.namedCount == 0)
        #expect(!held.isClosed)
    }

    @Test func attachWithoutCreateRefusesAnUnknownName() {
        let client = table.connect(.user(1000))
        let before = client.session
        let error = #expect(throws: IOMMUError.self) { try table.attach(client, name: "vm1", create: false) }
        #expect(error?.errno == .ENOENT)
        #expect(client.session === before)
        #expect(table.count == 1)
    }

    @Test func namesBelongToTheirUser() throws {
        let mine = table.connect(.user(1000))
        let theirs = table.connect(.user(1001))
        let one = try table.attach(mine, name: "vm", create: true)
        let other = try table.attach(theirs, name: "vm", create: true)
        #expect(one !== other)
        #expect(throws: IOMMUError.self) { try table.find("vm", uid: 1001, for: .user(1000)) }
        #expect(try table.find("vm", uid: 1001, for: .user(0, admin: true)) === other)
    }

    @Test func switchingBetweenNamedSessionsKeepsBoth() throws {
        let client = table.connect(.user(1000))
        let first = try table.attach(client, name: "a", create: true)
        _ = try context(first).allocateIOAS()
        let second = try table.attach(client, name: "b", create: true)
        #expect(first.clients.isEmpty)
        #expect(second.clients.count == 1)
        #expect(try !context(first).isClosed)
        #expect(table.count == 2)
    }

    @Test func closingASharedSessionSendsItsConnectionsToFreshPrivateOnes() throws {
        let first = table.connect(.user(1000))
        let second = table.connect(.user(1000))
        let session = try table.attach(first, name: "vm1", create: true)
        _ = try table.attach(second, name: "vm1", create: true)
        var told: [ObjectIdentifier] = []
        table.onClose = { _, clients in told = clients.map { ObjectIdentifier($0) } }
        table.close(session)
        #expect(told == [ObjectIdentifier(first), ObjectIdentifier(second)])
        #expect(try context(session).isClosed)
        #expect(first.session.name == nil)
        #expect(first.session !== second.session)
        #expect(table.namedCount == 0)
        #expect(table.count == 2)
    }

    @Test(arguments: ["", "a b", "ä", "a/b", String(repeating: "x", count: 65)])
    func refusesBadNames(name: String) {
        let client = table.connect(.user(1000))
        let error = #expect(throws: IOMMUError.self) { try table.attach(client, name: name, create: true) }
        #expect(error?.errno == .EINVAL)
    }

    @Test func countsNamedSessionsPerUser() throws {
        table.limits.sessions = 2
        let client = table.connect(.user(1000))
        _ = try table.attach(client, name: "a", create: true)
        _ = try table.attach(client, name: "b", create: true)
        let error = #expect(throws: IOMMUError.self) { try table.attach(client, name: "c", create: true) }
        #expect(error?.errno == .EDQUOT)
        #expect(client.session.name == "b")
        let other = table.connect(.user(1001))
        _ = try table.attach(other, name: "c", create: true)
    }

    @Test func sessionsOfOneUserShareAnAccountThatFollowsTheLimits() throws {
        let first = table.connect(.user(1000))
        let second = table.connect(.user(1000))
        #expect(first.session.account === second.session.account)
        #expect(first.session.account !== table.connect(.user(1001)).session.account)
        try first.session.account.charge(1 << 40, of: .mappedBytes)
        table.limits.perUser[.mappedBytes] = 1 << 30
        #expect(throws: IOMMUError.self) { try second.session.account.charge(1, of: .mappedBytes) }
    }

    @Test func everyoneSeesOwnSessionsAndAnAdministratorAll() throws {
        _ = table.connect(.user(1000))
        _ = table.connect(.user(1001))
        #expect(table.visible(to: .user(1000)).map(\.owner.uid) == [1000])
        #expect(table.visible(to: .user(5, admin: true)).count == 2)
    }
}
