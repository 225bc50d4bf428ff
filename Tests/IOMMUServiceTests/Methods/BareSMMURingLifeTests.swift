import CLinux
import Glibc
import JSONRPC
import TestSupport
import Testing

@testable import IOMMUService

/// How rings of bare SMMUs begin and end.
struct BareSMMURingLifeTests {
    private let rig: RingRig

    init() throws { rig = try RingRig() }

    // MARK: Opening

    @Test func aRingIsOpenedOnceAndClosed() throws {
        let used = { rig.bench.service.sessions.accountsInUse.map { [$0.used(.memoryBytes), $0.used(.descriptors)] } }
        let before = used()
        let ring = try rig.open(5)
        #expect(ring.entries == 8 && ring.completions == 16)
        #expect(clinux_get_seals(ring.file) & (CLINUX_SEAL_SHRINK | CLINUX_SEAL_GROW) == 6)
        #expect(ftruncate(ring.file, 0) != 0)
        #expect(used() != before)
        try rig.client.expect(EBUSY, "ring_exists", "vsmmu.ring_open", #"{"vsmmu":1,"entries":1}"#)
        try rig.client.expect(ENOENT, "unknown_vsmmu", "vsmmu.ring_open", #"{"vsmmu":2,"entries":1}"#)
        for entries in [0, 4097] {
            try rig.client.expect(EINVAL, "out_of_range", "vsmmu.ring_open", #"{"vsmmu":1,"entries":\#(entries)}"#)
        }
        try rig.client.call("vsmmu.ring_close", #"{"vsmmu":1}"#)
        #expect(used() == before)
        try rig.client.expect(ENOENT, "no_ring", "vsmmu.ring_close", #"{"vsmmu":1}"#)
        for entries in [1, 4096] {
            #expect(try rig.open(entries).entries == UInt32(entries))
            try rig.client.call("vsmmu.ring_close", #"{"vsmmu":1}"#)
        }
        // It goes with its SMMU, and with who has opened it.
        _ = try rig.open()
        try rig.client.call("vsmmu.destroy", #"{"vsmmu":1}"#)
        #expect(used() == before)
    }

    /// Beyond what a user may hold nothing is made.
    @Test func aRingIsOnItsUsersAccount() throws {
        let bench = try ServiceBench { $0.limits.memoryBytes = 2 << 20 }
        let client = try bench.connect()
        for _ in 0..<3 { try client.call("vsmmu.create", "{}") }
        for vsmmu in 1...2 { try client.call("vsmmu.ring_open", #"{"vsmmu":\#(vsmmu),"entries":4096}"#) }
        try client.call("memory.create", #"{"size":524288}"#)
        _ = client.takeDescriptors()
        try client.expect(EDQUOT, "quota_exceeded", "vsmmu.ring_open", #"{"vsmmu":3,"entries":4096}"#)
        try client.call("vsmmu.ring_open", #"{"vsmmu":3,"entries":8}"#)
    }

    /// Descriptors that wait to be received are no more than sixteen; a ring that could not be handed out is none.
    @Test func aRingThatCannotBeHandedOutIsNone() throws {
        for _ in 0..<5 { try rig.client.call("vsmmu.create", "{}") }
        let requests = (1...6).map {
            #"{"jsonrpc":"2.0","id":\#($0),"method":"vsmmu.ring_open","params":{"vsmmu":\#($0),"entries":1}}"#
        }
        try rig.client.send(line: "[" + requests.joined(separator: ",") + "]")
        let replies = try rig.client.receive().arrayValue ?? []
        #expect(replies.map { $0["error"]?["data"]?["reason"]?.stringValue }.last == "descriptors_unsent")
        #expect(replies.dropLast().allSatisfy { $0["result"]?["fds"]?.intValue == 3 })
        #expect(rig.client.takeDescriptors().count == 15)
        try rig.client.expect(ENOENT, "no_ring", "vsmmu.ring_close", #"{"vsmmu":6}"#)
        try rig.client.expect(ENOENT, "unknown_vsmmu", "vsmmu.ring_close", #"{"vsmmu":7}"#)
    }

    // MARK: Ends

    /// Who goes without having acknowledged leaves nobody waiting; who comes is told.
    @Test func whatIsNotAcknowledgedIsLostWithTheRing() throws {
        let owner = try rig.bench.connect()
        let guest = try rig.bench.connect()
        for client in [owner, guest] { try client.call("session.attach", #"{"name":"vm1"}"#) }
        let memory = try SharedMemory(size: 1 << 20)
        _ = try owner.importMemory(memory)
        #expect(try owner.id("vsmmu.create", "{}", "vsmmu") == 1)
        let program = try BareSMMUProgram(guest, memory)
        try program.bringUp()
        let ring = try rig.open(by: owner)
        try program.write(0x20, 0)
        #expect(try rig.run(ring, .init(1, stream: 1, 0x1000)).map(\.kind) == [0])
        guest.send("vsmmu.mmio_write", #"{"vsmmu":1,"offset":"0x20","size":4,"value":13}"#)
        try rig.bench.handleReady()
        #expect(try guest.receive()["params"]?["scope"]?.stringValue == "all")
        #expect(!guest.hasLine)
        owner.disconnect()
        try rig.bench.handleReady()
        #expect(try guest.receive()["result"] != nil)
        guest.send("vsmmu.tlbi", #"{"vsmmu":1}"#)
        #expect(try guest.receive()["params"]?["kind"]?.stringValue == "lost")
        #expect(try guest.receive()["result"] != nil)
        // Another may be opened.
        #expect(try rig.open(by: guest).entries == 8)
    }

    /// An index that cannot be ends the service of the ring, and of nothing else.
    @Test(arguments: [false, true]) func anIndexThatCannotBeBreaksTheRing(isOfCompletions: Bool) throws {
        try rig.bringUp()
        let ring = try rig.open()
        #expect(try rig.run(ring, .init(1, stream: 1, 0x1000)).count == 1)
        if isOfCompletions {
            ring.acknowledge(head: 1 << 31)
            for number in 0..<16 as Range<UInt64> {
                ring.add(.init(number, stream: 1, 0))
                ring.publish()
                try rig.bench.handleReady()
            }
        } else {
            ring.publish(tail: ring.submissionTail &+ 9)
            try rig.bench.handleReady()
        }
        #expect(ring.failure == UInt32(EINVAL))
        #expect(try rig.issue([RingRig.invalidate, RingRig.sync]).count == 2)
        try rig.client.call("vsmmu.ring_close", #"{"vsmmu":1}"#)
        let again = try rig.open()
        #expect(try rig.run(again, .init(1, stream: 1, 0x1000)).count == 1)
    }
}
