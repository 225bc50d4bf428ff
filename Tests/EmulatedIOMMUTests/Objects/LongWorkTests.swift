import IOMMU
import LinuxIO
import Testing
import TestSupport

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// Calls that are answered later come to the same as those that are answered at once, wherever the work is cut.
@Suite struct LongWorkTests {
    /// A session with a device on one IOAS, with more hwpts on it, and another IOAS.
    struct Bench: Snapshotted {
        let laboratory: ObjectLaboratory
        var context: ObjectContext { laboratory.context }
        let (device, other): (ObjectID, ObjectID)
        let (ioas, second): (ObjectID, ObjectID)
        let memory: ObjectID
        let tables: FailurePoint

        init(pieces: Int?, length: FailureLength = .fromThenOn) throws {
            let point = FailurePoint(length)
            tables = point
            laboratory = try ObjectLaboratory(pages: { FailingPages($0, point) })
            device = try laboratory.bind(ObjectLaboratory.pci)
            other = try laboratory.bind(ObjectLaboratory.other)
            (ioas, second) = (try laboratory.context.allocateIOAS(), try laboratory.context.allocateIOAS())
            memory = try laboratory.memory(16 << 20)
            _ = try laboratory.context.attach(device: device, to: ioas, pasid: nil)
            _ = try laboratory.context.attach(device: other, to: ioas, pasid: nil)
            _ = try laboratory.context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: .nestParent))
            for page in 0..<5 as Range<UInt64> { try laboratory.map(ioas, memory, at: 0x1_0000_0000 + page << 20) }
            try laboratory.map(ioas, memory, at: 0x2_0000_0000, length: 6 << 20)
            try laboratory.map(second, memory, at: 0x40_0000, length: 4 << 20)
            guard let pieces else { return }
            laboratory.executor.unitsPerPiece = pieces
            context.longestAtOnce = 0
        }

        /// Every object, entry and leaf.
        struct Snapshot: Equatable {
            let objects: ObjectLaboratory.Snapshot
            let leaves: [[[UInt64]]]
            let mappings: [[MappingDescription]]
        }

        var snapshot: Snapshot {
            Snapshot(
                objects: laboratory.snapshot, leaves: domains.map { $0.table.leaves },
                mappings: [ioas, second].map {
                    (try? context.mappings(ioas: $0, from: 0, limit: 1000).mappings) ?? []
                })
        }

        var domains: [PagingDomain] {
            context.table.all.compactMap { ($0 as? PagingHWPT)?.domain as? PagingDomain }
        }

        func checkTables() {
            for domain in domains { #expect(domain.table.audit() == nil) }
        }

        /// Goes on until the answer is there.
        func value<Value>(_ answer: Answer<Value>) throws -> Value {
            switch answer {
            case .now(let value): return value
            case .later(let deferred):
                var result: Result<Value, IOMMUError>?
                deferred.whenSettled { result = $0 }
                laboratory.executor.drain()
                return try #require(result).get()
            }
        }
    }

    /// What a call comes to, its refusal included.
    private func outcome(_ call: Call, _ bench: Bench) -> String {
        do { return try bench.value(call.begin(bench)) } catch { return "\(error)" }
    }

    @Test(arguments: calls, [1, 5, 16, 1000]) func comesToTheSame(_ call: Call, pieces: Int) throws {
        let (atOnce, later) = (try Bench(pieces: nil), try Bench(pieces: pieces))
        #expect(later.snapshot == atOnce.snapshot)
        #expect(outcome(call, later) == outcome(call, atOnce))
        #expect(later.snapshot == atOnce.snapshot)
        later.checkTables()
        let (one, other) = (later.laboratory.backend.machine, atOnce.laboratory.backend.machine)
        later.context.close()
        atOnce.context.close()
        #expect(one.tableBytes <= other.tableBytes + (256 << 10))
    }

    /// Called off after any number of pieces it has come to nothing, or to what it comes to otherwise.
    @Test(arguments: calls) func canBeCalledOff(_ call: Call) throws {
        let reference = try Bench(pieces: nil)
        let regular = outcome(call, reference)
        for steps in 0..<2000 {
            let bench = try Bench(pieces: 3)
            let before = bench.snapshot
            guard case .later(let deferred)? = try? call.begin(bench) else { return }
            var result: Result<String, IOMMUError>?
            deferred.whenSettled { result = $0 }
            for _ in 0..<steps where result == nil { bench.laboratory.executor.step() }
            let wasOver = result != nil
            bench.context.callOff()
            bench.laboratory.executor.drain()
            let ended = try #require(result)
            if case .failure(let error) = ended, error.errno == .ECANCELED {
                // What was detached for it before it began stays so.
                if call.testDescription != "attach" { #expect(bench.snapshot == before) }
            } else {
                #expect(ended.text == regular)
                #expect(bench.snapshot == reference.snapshot)
            }
            bench.checkTables()
            if wasOver { return }
        }
        Issue.record("it never ended")
    }

    /// Wherever the memory for tables ends, nothing has changed.
    @Test(arguments: calls.filter(\.allocates)) func nothingIsLeftOfAFailure(_ call: Call) throws {
        let reference = try Bench(pieces: nil)
        let regular = outcome(call, reference)
        let after = reference.snapshot
        for uses in 0..<2000 {
            let bench = try Bench(pieces: 4)
            let before = bench.snapshot
            bench.tables.arm(after: uses)
            let said = outcome(call, bench)
            bench.tables.disarm()
            guard bench.tables.hasFired else { return }
            // What was detached for it before it began stays so.
            if call.testDescription != "attach" { #expect(bench.snapshot == (said == regular ? after : before)) }
            bench.checkTables()
            bench.context.close()
        }
        Issue.record("it always failed")
    }

    /// Accesses of devices go on: each finds what was there before, or what is there afterwards.
    @Test(arguments: calls) func accessesGoOn(_ call: Call) throws {
        let reference = try Bench(pieces: nil)
        let places: [UInt64] = [
            0x4000_0000, 0x402f_f000, 0x1_0000_0000, 0x1_0020_0000, 0x1_0040_0000, 0x2_0000_0000, 0x2_005f_f000,
            0x80_8000_0000,
        ]
        func seen(_ bench: Bench) throws -> [UInt64?] {
            try places.map { try bench.laboratory.reach(ObjectLaboratory.pci, $0) }
        }
        _ = outcome(call, reference)
        let after = try seen(reference)
        let bench = try Bench(pieces: 3)
        let before = try seen(bench)
        _ = try? call.begin(bench)
        // What has only tables left to free is over for everybody; the rest has not happened yet.
        let counts = (bench.context.mappedBytes, bench.context.objectCount)
        repeat {
            for (index, found) in try seen(bench).enumerated() {
                #expect(found == before[index] || found == after[index])
            }
            // Others see what there was.
            if bench.context.shown != nil {
                #expect((bench.context.mappedBytes, bench.context.objectCount) == counts)
            }
            // Misses make work, too.
        } while bench.context.shown != nil && bench.laboratory.executor.step()
        #expect(try seen(bench) == after)
    }

    /// A device that is unplugged meanwhile takes its hwpt with it.
    @Test(arguments: calls) func aDeviceMayGoMeanwhile(_ call: Call) throws {
        for steps in 0..<2000 {
            let bench = try Bench(pieces: 3)
            guard case .later(let deferred)? = try? call.begin(bench) else { return }
            var isOver = false
            deferred.whenSettled { _ in isOver = true }
            for _ in 0..<steps where !isOver { bench.laboratory.executor.step() }
            let wasOver = isOver
            if (try? bench.laboratory.backend.device(named: ObjectLaboratory.other)) != nil {
                try bench.laboratory.backend.removeDevice(named: ObjectLaboratory.other)
            }
            bench.laboratory.executor.drain()
            #expect(isOver)
            bench.checkTables()
            bench.context.close()
            #expect(bench.context.isEmpty)
            if wasOver { return }
        }
    }
}

extension Result where Success == String, Failure == IOMMUError {
    fileprivate var text: String {
        switch self {
        case .success(let value): value
        case .failure(let error): "\(error)"
        }
    }
}
