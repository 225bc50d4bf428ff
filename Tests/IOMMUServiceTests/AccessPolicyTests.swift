import IOMMU
import IOMMUService
import Testing

struct AccessPolicyTests {
    @Test func withoutRulesTheDefaultDecides() {
        #expect(AccessPolicy(allowsByDefault: true).allows(.user(1000), device: "a"))
        #expect(!AccessPolicy(allowsByDefault: false).allows(.user(1000), device: "a"))
        #expect(AccessPolicy(allowsByDefault: false).allows(.user(0, admin: true), device: "a"))
    }

    @Test func rulesNameUsersGroupsAndDevices() {
        let policy = AccessPolicy(
            rules: [
                AccessPolicy.Rule(uids: [1000], devices: ["0000:01:00.0"]),
                AccessPolicy.Rule(gids: [36], devices: ["0000:02:*"]),
            ],
            allowsByDefault: true
        )
        #expect(policy.allows(.user(1000), device: "0000:01:00.0"))
        #expect(!policy.allows(.user(1000), device: "0000:02:00.0"))
        #expect(!policy.allows(.user(1001), device: "0000:01:00.0"))
        #expect(policy.allows(.user(1001, gid: 36), device: "0000:02:00.1"))
        #expect(policy.allows(.user(1001, groups: [7, 36]), device: "0000:02:00.1"))
    }

    @Test func refusalNamesTheDeviceAndTheUser() {
        let policy = AccessPolicy(allowsByDefault: false)
        let error = #expect(throws: IOMMUError.self) { try policy.requireBind(.user(1000), device: "uacce0") }
        #expect(error?.errno == .EPERM)
        #expect(error?.reason == .notAllowed)
        #expect(error?.members == [.init("device", .text("uacce0")), .init("uid", .number(1000))])
    }

    @Test(arguments: [
        ("*", "", true), ("*", "abc", true), ("a*c", "abbbc", true), ("a*c", "abbb", false), ("", "", true),
        ("", "a", false), ("a", "a", true), ("a**b", "ab", true), ("*0.1", "0000:02:00.1", true),
        ("a*b*c", "axbxbxc", true),
        ("a*b*c", "acb", false),
    ])
    func patterns(pattern: String, name: String, matches: Bool) {
        #expect(NamePattern.matches(pattern, name) == matches)
    }

    @Test func administratorsAreRootTheDaemonAndTheGroup() {
        let administrators = Administrators(daemonUID: 990, groupID: 991)
        func isAdmin(_ uid: UInt32, _ gid: UInt32, _ groups: [UInt32]) -> Bool {
            administrators.peer(uid: uid, gid: gid, pid: 1, groups: groups).identity.isAdmin
        }
        #expect(isAdmin(0, 0, []))
        #expect(isAdmin(990, 5, []))
        #expect(isAdmin(1000, 991, []))
        #expect(isAdmin(1000, 1000, [4, 991]))
        #expect(!isAdmin(1000, 1000, [4]))
        #expect(!Administrators(daemonUID: 990, groupID: nil).peer(uid: 1, gid: 1, pid: 1, groups: []).identity.isAdmin)
    }
}
