import IOMMU
import TestSupport
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// Work of accelerators that takes more than one turn of the loop: cut into pieces, and ended between two of them.
@Suite struct LongAccessTests {
    private let laboratory: Laboratory
    private let context: ObjectContext
    private let memory: ObjectID
    private let queue: ObjectID
    private let bond: ObjectID
    /// Some pieces, and some more.
    private static let size: UInt64 = 3 << 20 | 5 << 12

    /// The memory is mapped at its own offsets; a part of it is there before it is touched.
    init() throws {
        laboratory = try Laboratory()
        context = laboratory.context
        let device = try laboratory.bind("uacce0")
        memory = try context.createMemory(size: Self.size, name: nil, huge: false)
        let mm = try context.emulated.createMM()
        for (start, length, populate) in [(0, 1 << 20, true), (1 << 20, Self.size - (1 << 20), false)] as [Part] {
            try context.emulated.mapMM(
                mm, va: start, memory: memory, offset: start, length: length, access: [.read, .write],
                populate: populate)
        }
        bond = try context.emulated.bindSVA(device: device, mm: mm).bond
        queue = try context.emulated.openQueue(device: device, mm: mm).queue
        _ = try context.emulated.startQueue(queue)
    }

    private typealias Part = (start: UInt64, length: UInt64, populate: Bool)

    private func bytes() throws -> [UInt8] {
        try stride(from: 0, to: Self.size, by: 1 << 19).flatMap {
            try context.readMemory(memory, offset: $0, length: min(1 << 19, Self.size - $0))
        }
    }

    private func fillWithNoise(seed: UInt64) throws -> [UInt8] {
        var random = SeededGenerator(seed: seed)
        let noise = (0..<Int(Self.size)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        for start in stride(from: 0, to: noise.count, by: 1 << 19) {
            try context.writeMemory(
                memory, offset: UInt64(start), bytes: Array(noise[start..<min(start + (1 << 19), noise.count)]))
        }
        return noise
    }

    /// Starts what takes turns.
    private func start(_ operation: QueueOperation) throws -> (id: AccessID, end: Box<SubmitResult>) {
        let box = Box<SubmitResult>()
        guard case .pending(let id) = try context.emulated.submit(queue, operation, completion: box.take) else {
            throw NotCut()
        }
        return (id, box)
    }

    private struct NotCut: Error {}

    /// Forwards, and backwards where the ranges overlap so that it matters.
    @Test(arguments: [(0, 2 << 20, 1 << 20), (0, 0x1003, 3 << 20), (0x1003, 7, 3 << 20)] as [(UInt64, UInt64, UInt64)])
    func copiesComeToTheSameAsAtOnce(source: UInt64, target: UInt64, length: UInt64) throws {
        var expected = try fillWithNoise(seed: target)
        let moved = Array(expected[Int(source)..<Int(source + length)])
        expected.replaceSubrange(Int(target)..<Int(target + length), with: moved)
        let result = try laboratory.submit(queue, .copy(source: source, destination: target, length: length))
        #expect(result.completed == length)
        #expect(try bytes() == expected)
    }

    @Test func checksumsAndFillsComeToTheSameAsAtOnce() throws {
        var expected = try fillWithNoise(seed: 1)
        var sum = CRC32()
        expected[3...].withUnsafeBytes { sum.update($0) }
        let (_, end) = try start(.checksum(source: 3, length: Self.size - 3))
        #expect(try end.wait(laboratory.executor).checksum == sum.value)
        let (_, filled) = try start(.fill(destination: 5, length: Self.size - 5, value: 9))
        #expect(try filled.wait(laboratory.executor).completed == Self.size - 5)
        expected.replaceSubrange(5..., with: repeatElement(9, count: expected.count - 5))
        #expect(try bytes() == expected)
        #expect(laboratory.account.used(.waitingAccesses) == 0)
    }

    fileprivate enum Ending: CaseIterable { case connection, queue, bond, mm, session }

    /// What ends the work ends it between two pieces: what is done stays, the rest is not touched any more.
    @Test(arguments: Ending.allCases) fileprivate func whatEndsItEndsItAtEveryCut(ending: Ending) throws {
        var pieces = 0
        var isThrough = false
        while !isThrough {
            let bench = try LongAccessTests()
            let (id, end) = try bench.start(.fill(destination: 0, length: Self.size, value: 7))
            for _ in 0..<pieces where end.result == nil { bench.laboratory.executor.step() }
            isThrough = end.result != nil
            let done = try bench.bytes().count { $0 == 7 }
            try bench.end(ending, id)
            bench.laboratory.executor.drain()
            guard !isThrough else { break }
            guard case .failure(let error)? = end.result else {
                Issue.record("\(ending) after \(pieces) pieces ended nothing")
                break
            }
            #expect(error.member("completed") == .number(UInt64(done)))
            if ending != .session { #expect(try bench.bytes().count { $0 == 7 } == done) }
            #expect(bench.laboratory.account.used(.waitingAccesses) == 0)
            #expect(!bench.laboratory.takeEvents().contains { if case .smmuEvent = $0.body { true } else { false } })
            pieces += 1
        }
        #expect(pieces > 8, "it is cut into pieces")
    }

    private func end(_ ending: Ending, _ access: AccessID) throws {
        switch ending {
        case .connection:
            context.emulated.terminate(
                access: access,
                with: IOMMUError(.ECANCELED, .disconnected, "the connection has ended", hint: "this is a test"))
        case .queue: _ = try context.emulated.stopQueue(queue)
        case .bond: try context.unbind(device: 1)
        case .mm: try context.emulated.exitMM(1)
        case .session: context.close()
        }
    }

    /// Areas go in turns; those that have not gone yet are still there for devices.
    @Test func manyAreasGoInTurns() throws {
        let mm = try context.emulated.createMM()
        for index in 0..<1000 as Range<UInt64> {
            try context.emulated.mapMM(
                mm, va: index << 21, memory: memory, offset: 0, length: 4096, access: [.read, .write], populate: true)
        }
        let queue = try context.emulated.openQueue(device: 1, mm: mm).queue
        _ = try context.emulated.startQueue(queue)
        guard case .later(let done) = try context.emulated.beginUnmapMM(mm, va: 0, length: 1000 << 21) else {
            throw NotCut()
        }
        var isDone = false
        done.whenSettled { _ in isDone = true }
        func isThere(_ index: UInt64) -> Bool {
            (try? laboratory.submit(queue, .fill(destination: index << 21, length: 8, value: 1))) != nil
        }
        #expect(!isThere(0) && !isThere(63))
        #expect(!isDone || !isThere(999))
        laboratory.executor.drain()
        #expect(isDone)
        #expect((0..<1000).allSatisfy { !isThere($0) })
        try context.emulated.mapMM(
            mm, va: 0, memory: memory, offset: 0, length: 4096, access: .read, populate: false)
    }
}
