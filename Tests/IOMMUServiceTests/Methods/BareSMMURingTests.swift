import Glibc
import JSONRPC
import TestSupport
import Testing

@testable import IOMMUService

/// The ring of a bare SMMU: translations and invalidations in memory that its VMM shares.
struct BareSMMURingTests {
    private let rig: RingRig

    init() throws { rig = try RingRig() }

    // MARK: Translating

    /// What the ring says is what vsmmu.translate says.
    @Test func translationsAreThoseOfTheSocket() throws {
        try rig.bringUp()
        let ring = try rig.open()
        let found = try rig.run(
            ring, .init(7, stream: 1, 0x1234, access: 1), .init(8, stream: 1, 0x1238), .init(9, stream: 3, 0),
            .init(10, stream: 1, 0x5000_0000), .init(11, stream: 1, 0, pasid: 3))
        try #require(found.map(\.tag) == [7, 8, 9, 10, 11])
        #expect(found.map(\.kind) == [0, 0, 1, 2, 1])
        // The page size is 2^30; read and write; the second from the TLB.
        #expect(found[0].words[2] == 0xc000_1234 && found[0].detail == 30 && found[0].flags & 0xb == 3)
        #expect(found[1].words[2] == 0xc000_1238 && found[1].flags & 8 == 8)
        let socket = try rig.client.call("vsmmu.translate", #"{"vsmmu":1,"stream_id":1,"iova":"0x1238"}"#)
        #expect(socket["pa"]?.unsignedValue == found[1].words[2])
        let memory = try #require(socket["attributes"]?["memory"]?.unsignedValue)
        #expect(found[1].extra & 0xff == memory)
        // C_BAD_STE, recorded, as it lies in the event queue; then F_TRANSLATION, which stalls; then C_BAD_SUBSTREAMID.
        let queue = (0..<3).map { event in
            (0..<4).map { rig.smmu.memory.word(BareSMMUOffset.events + event * 32 + $0 * 8) }
        }
        #expect(queue == found[2...].map { Array($0.words[4...]) })
        #expect(found[2].flags & 3 == 3 && queue.map { $0[0] & 0xff } == [4, 0x10, 8])
        let stalls = try rig.client.call("vsmmu.stalls", #"{"vsmmu":1}"#)["stalls"]
        #expect(stalls?[0]?["stall"]?.unsignedValue == found[3].words[2])
        #expect(stalls?[0]?["tag"]?.unsignedValue == found[3].extra)
        #expect(stalls?[0]?["iova"]?.stringValue == "0x50000000")
    }

    @Test func whatIsNoSubmissionIsRefused() throws {
        try rig.bringUp()
        let ring = try rig.open(16)
        // An access that is none, a kind that is none, reserved bits, a PASID of 21 bits, one without its flag.
        let wrong: [[UInt64]] = [
            [0, 0, 1, 3], [1, 0, 1, 3 << 4], [2, 0, 1, 1 << 6], [3, 0, 1, 1 << 63], [4, 0, 1 | 1 << 52, 8],
            [5, 0, 1 | 1 << 32, 0],
        ]
        for words in wrong { ring.add(words: words) }
        ring.add(.init(6, stream: 1, 0x1000))
        let found = try rig.run(ring)
        #expect(found.map(\.tag) == Array(0...6) && found.map(\.kind) == [4, 4, 4, 4, 4, 4, 0])
        #expect(found[0].extra == UInt64(EINVAL))
        _ = try rig.send("vsmmu.mmio_write", #"{"vsmmu":1,"offset":"0x20","size":4,"value":0}"#)
        #expect(try rig.run(ring, .init(0, stream: 1, .max)).map { [$0.kind, $0.detail] } == [[16, 0], [3, 10]])
    }

    @Test func moreThanTheQueueHoldsWaits() throws {
        try rig.bringUp()
        let ring = try rig.open(4)
        for round in 0..<3 as Range<UInt64> {
            for number in 0..<4 as Range<UInt64> { ring.add(.init(round * 4 + number, stream: 1, number)) }
            ring.publish()
            try rig.bench.handleReady()
        }
        // Eight completions are all that there is room for.
        #expect(ring.completionTail == 8 && ring.submissionHead == 8 && !ring.hasRoom)
        #expect(ring.wantsKick & 2 == 2)
        var tags: [UInt64] = []
        while let next = ring.next() { tags.append(next.tag) }
        tags += try rig.take(ring).map(\.tag)
        #expect(tags == Array(0..<12))
    }

    /// Nothing is looked at any more until the client says so.
    @Test func anIdleRingSleeps() throws {
        try rig.bringUp()
        let ring = try rig.open()
        #expect(try rig.run(ring, .init(1, stream: 1, 0)).count == 1)
        try rig.bench.proceed { ring.wantsKick == 1 }
        #expect(try !rig.bench.loop.turn(waiting: false))
        #expect(try rig.run(ring, .init(2, stream: 1, 0)).count == 1)
    }

    // MARK: Invalidations

    @Test func aSyncWaitsForAcknowledgement() throws {
        try rig.bringUp()
        let ring = try rig.open()
        #expect(try rig.run(ring, .init(1, stream: 1, 0x1000)).count == 1)
        // The connection is told as ever, and gets no reply.
        let told = try rig.issue([(0x11 | 9 << 48, 0), RingRig.invalidate, RingRig.sync])
        #expect(told.map { $0["params"]?["kind"]?.stringValue } == ["vsmmu_invalidate", "vsmmu_invalidate"])
        let first = try #require(ring.peek())
        #expect(first.kind == 16 && first.detail == 1 && first.extra & 0xffff == 9)
        // The first is not enough.
        #expect(ring.next() == first)
        #expect(try rig.lines().isEmpty)
        let second = try #require(ring.next())
        #expect(second.kind == 16 && second.detail == 0 && second.flags & 1 == 0)
        #expect(try rig.lines().count == 1)
        #expect(try rig.smmu.read(0x9c) == 3)
    }

    /// CR0 has no CMD_SYNC: the reply waits.
    @Test func aChangeOfRegistersWaitsForAcknowledgement() throws {
        try rig.bringUp()
        let ring = try rig.open()
        #expect(try rig.run(ring, .init(1, stream: 1, 0x1000)).count == 1)
        #expect(try rig.send("vsmmu.mmio_write", #"{"vsmmu":1,"offset":"0x20","size":4,"value":12}"#).count == 1)
        #expect(try rig.take(ring).map(\.kind) == [16])
        #expect(try rig.lines().count == 1)
        // A reset has something to tell only if there has been an answer since.
        #expect(try rig.send("vsmmu.reset", #"{"vsmmu":1}"#).count == 1)
    }

    @Test func whoHasNoAnswerNeedNotAcknowledge() throws {
        try rig.bringUp()
        let ring = try rig.open()
        try rig.client.call("vsmmu.translate", #"{"vsmmu":1,"stream_id":1,"iova":0}"#)
        #expect(try rig.issue([RingRig.invalidate, RingRig.sync]).count == 2)
        #expect(try rig.take(ring).isEmpty)
    }

    /// Many invalidations go through a small queue, in order, none lost.
    @Test func invalidationsWaitForRoom() throws {
        try rig.bringUp()
        let ring = try rig.open(1)
        #expect(try rig.run(ring, .init(1, stream: 1, 0x1000)).count == 1)
        let commands = (0..<7).map { (UInt64(0x11) | UInt64($0) << 48, UInt64(0)) }
        _ = try rig.issue(commands + [RingRig.sync])
        var asids: [UInt64] = []
        for _ in 0..<20 {
            #expect(ring.completionTail &- ring.completionHead <= 2)
            asids += try rig.take(ring).map { $0.extra & 0xffff }
        }
        #expect(asids == Array(0..<7))
        #expect(try rig.smmu.read(0x9c) == 8)
    }

    // MARK: Stalls

    @Test func aStallOfTheRingIsResumedThere() throws {
        try rig.bringUp()
        let ring = try rig.open()
        let stalled = try rig.run(ring, .init(1, stream: 1, 0x5000_0000), .init(2, stream: 1, 0x5000_0000))
        #expect(stalled.map(\.kind) == [2, 2])
        let told = try rig.issue([(1 << 32 | 1 << 12 | 0x44, stalled[0].extra), (1 << 32 | 0x45, 0), RingRig.sync])
        #expect(told.count == 1, "the connection has nothing to be told")
        let resumed = try rig.take(ring)
        #expect(resumed.map(\.kind) == [17, 17] && resumed.map { $0.words[2] } == stalled.map { $0.words[2] })
        #expect(resumed.map(\.detail) == [0, 1] && resumed.map(\.extra) == [1, 1])
    }

    /// Messages of what the ring does come there; subscribers have copies of stalls and messages.
    @Test func messagesOfTheRingComeThere() throws {
        try rig.bringUp()
        try rig.smmu.write(0x20, 0)
        try rig.smmu.write(0x50, 0)
        try rig.smmu.write(0xb0, 0x808_0040, size: 8)
        try rig.smmu.write(0xb8, 0x17)
        try rig.smmu.write(0x50, 7)
        try rig.smmu.write(0x20, 0xd)
        let ring = try rig.open()
        try rig.client.call("events.subscribe", #"{"kinds":["vsmmu_stall","vsmmu_msi","vsmmu_event"]}"#)
        let found = try rig.run(ring, .init(1, stream: 1, 0x5000_0000))
        #expect(found.map(\.kind) == [2, 18] && found[1].extra == 0x17 && found[1].words[2] == 0x808_0040)
        let copies = try rig.lines().compactMap { $0["params"]?["kind"]?.stringValue }
        #expect(copies.sorted() == ["vsmmu_event", "vsmmu_msi", "vsmmu_stall"])
    }
}
