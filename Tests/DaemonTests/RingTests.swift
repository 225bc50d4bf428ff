import Foundation
import JSONRPC
import LinuxIO
import Synchronization
import TestSupport
import Testing

/// The ring of a bare SMMU between two processes.
struct RingTests {
    private typealias Program = BareSMMUProgram<RPCClient>

    private let daemon: RunningDaemon
    private let client: RPCClient
    private let smmu: Program
    private let descriptors: [SharedDescriptor]
    private static let (table2, table3) = (Program.Offset.tables + 0x1000, Program.Offset.tables + 0x2000)
    private static let output: UInt64 = 0x4000_0000

    /// Stream 1 has pages of 4 KiB in its first 2 MiB.
    init() throws {
        daemon = try RunningDaemon()
        client = try daemon.connect()
        smmu = try Program(client)
        try smmu.bringUpStalling()
        try smmu.write(0x20, 0xd)
        smmu.memory.setWord(Program.Offset.tables, Program.gpa + UInt64(Self.table2) | 3)
        smmu.memory.setWord(Self.table2, Program.gpa + UInt64(Self.table3) | 3)
        try client.call("vsmmu.ring_open", #"{"vsmmu":1,"entries":64}"#)
        descriptors = client.takeDescriptors()
    }

    private func map(_ page: Int, to frame: UInt64) {
        smmu.memory.setWord(Self.table3 + 8 * page, Self.output + frame << 12 | 0xf43)
    }

    /// Far more translations than the queues hold, as many on their way as they hold; the client sleeps between them.
    @Test func everyTranslationComesBackOnce() throws {
        for page in 0..<512 { map(page, to: UInt64(page * 7 % 512)) }
        let ring = try RingClient(descriptors)
        let count: UInt64 = 20_000
        var (sent, done): (UInt64, UInt64) = (0, 0)
        while done < count {
            while sent < count, sent - done < UInt64(ring.entries), ring.hasRoom {
                ring.add(.init(sent, stream: 1, (sent % 512) << 12 | 0x18, access: sent & 1))
                sent += 1
            }
            ring.publish()
            guard ring.wait() else { throw Unexpected("\(done) came back") }
            while let next = ring.next() {
                #expect(next.tag == done && next.kind == 0)
                #expect(next.words[2] == Self.output + (done % 512 * 7 % 512) << 12 | 0x18)
                done += 1
            }
        }
        #expect(ring.failure == 0)
    }

    // MARK: Two threads

    /// What the guest's thread and the ring's thread of a VMM know of each other.
    private final class Shared: Sendable {
        /// The mapping that the guest has made, and what was before it has been invalidated up to a CMD_SYNC.
        let floor = Atomic<UInt64>(0)
        let isDone = Atomic<Bool>(false)
        /// A translation that was used after its CMD_SYNC; how often one was used at all, and made.
        let stale = Atomic<UInt64>(0)
        let uses = Atomic<Int>(0)
        let answers = Atomic<Int>(0)
        let end = DispatchSemaphore(value: 0)
    }

    /// Translates one page again and again, and keeps the answer until it is told to forget it.
    private static func translate(_ descriptors: [SharedDescriptor], _ shared: Shared) {
        defer { shared.end.signal() }
        guard let ring = try? RingClient(descriptors) else { return }
        var kept: UInt64?
        var isAsking = false
        while !shared.isDone.load(ordering: .acquiring) {
            while let next = ring.peek() {
                switch next.kind {
                case 0:
                    kept = (next.words[2] - output) >> 12
                    isAsking = false
                    shared.answers.add(1, ordering: .relaxed)
                default: kept = nil
                }
                ring.acknowledge(head: ring.completionHead &+ 1)
            }
            if let kept {
                shared.uses.add(1, ordering: .relaxed)
                if kept < shared.floor.load(ordering: .acquiring) { shared.stale.add(1, ordering: .relaxed) }
                _ = ring.wait(milliseconds: 1)
            } else if !isAsking {
                ring.add(.init(0, stream: 1, 0x18))
                ring.publish()
                isAsking = true
            } else {
                _ = ring.wait(milliseconds: 100)
            }
        }
    }

    /// After its CMD_SYNC nobody uses what a guest has invalidated, whichever thread of the VMM does what.
    @Test func aSyncIsNotThroughBeforeTheRingHasForgotten() throws {
        let shared = Shared()
        map(0, to: 0)
        Thread.detachNewThread { [descriptors] in Self.translate(descriptors, shared) }
        for mapping in 1...200 as ClosedRange<UInt64> {
            map(0, to: mapping)
            let request = smmu.queue([(0x12, 0x701), (0x46, 0)], behind: Int(mapping - 1) * 2)
            try client.call(request.method, request.params)
            shared.floor.store(mapping, ordering: .releasing)
        }
        shared.isDone.store(true, ordering: .releasing)
        shared.end.wait()
        #expect(try smmu.read(0x60) == 0, "a command was refused")
        #expect(shared.stale.load(ordering: .acquiring) == 0)
        #expect(shared.answers.load(ordering: .acquiring) > 100)
        #expect(shared.uses.load(ordering: .acquiring) > 100)
    }

    // MARK: Hostile memory

    /// Whatever is written into the memory, the daemon serves others, and ends no other way than it should.
    @Test func noiseInTheMemoryHarmsNobody() throws {
        let other = try daemon.connect()
        var random = SeededGenerator(seed: 11)
        for round in 0..<60 {
            let ring = try RingClient(round == 0 ? descriptors : client.takeDescriptors())
            ring.add(.init(1, stream: 1, 0x18))
            ring.publish()
            for _ in 0..<40 {
                // The words of the header more often than others.
                let words = Int.random(in: 0..<4, using: &random) == 0 ? ring.memory.count / 4 : 0x80
                let offset = Int.random(in: 0..<words, using: &random) * 4
                let value = UInt32.random(in: 0...(Bool.random(using: &random) ? 8 : .max), using: &random)
                ring.memory.storeBytes(of: value, toByteOffset: offset, as: UInt32.self)
                ring.kick()
            }
            let info = try other.call("daemon.info", "{}")
            #expect(info["pid"]?.intValue != nil)
            try client.call("vsmmu.ring_close", #"{"vsmmu":1}"#)
            try client.call("vsmmu.ring_open", #"{"vsmmu":1,"entries":64}"#)
        }
        let ring = try RingClient(client.takeDescriptors())
        map(0, to: 3)
        ring.add(.init(5, stream: 1, 0))
        ring.publish()
        #expect(ring.wait())
        #expect(ring.next()?.words[2] == Self.output + 3 << 12)
        #expect(daemon.stop() == 0)
    }
}
