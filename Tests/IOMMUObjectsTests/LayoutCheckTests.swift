import IOMMU
import LinuxIO
import TestSupport
import Testing

@testable import IOMMUObjects

@Suite struct LayoutCheckTests {
    let laboratory: ObjectLaboratory
    let context: ObjectContext

    init() throws {
        laboratory = try ObjectLaboratory()
        context = laboratory.context
    }

    private func check(_ names: [String], _ mappings: [(UInt64, UInt64)]) throws -> [LayoutProblem] {
        context.check(
            devices: names.map { .name($0) }, mappings: mappings.map { CheckedMapping(iova: $0.0, length: $0.1) })
    }

    @Test func aGoodLayoutHasNoProblems() throws {
        let layout: [(UInt64, UInt64)] = [(0x4010_0000, 1 << 30), (0, 0x800_0000), (0x1_0000_0000, 1 << 32)]
        #expect(try check([ObjectLaboratory.reserving, ObjectLaboratory.pci], layout).isEmpty)
        #expect(context.isEmpty)
    }

    @Test func allProblemsAreToldAtOnce() throws {
        let other = laboratory.backend.makeContext(
            owner: "another session", account: Account(uid: 7), limits: ContextLimits())
        _ = try other.bind(deviceNamed: ObjectLaboratory.pairFirst)
        let before = laboratory.snapshot
        let problems = try check(
            [ObjectLaboratory.reserving, ObjectLaboratory.pairSecond, "nobody"],
            [
                (0x4000_0000, 0x1000), (0x800, 0x1000), (0x10_0000, 0), (.max - 0xfff, 0x2000), (1 << 48, 0x1000),
                (0x2000, 0x4000), (0x3000, 0x1000), (0x7ff_f000, 0x2000),
            ])
        func has(_ errno: Errno, _ reason: Reason, mapping: Int? = nil, device: String? = nil) -> Bool {
            problems.contains {
                $0.error.errno == errno && $0.error.reason == reason && $0.mapping == mapping && $0.device == device
            }
        }
        #expect(has(.EBUSY, .groupOwnedElsewhere, device: ObjectLaboratory.pairSecond))
        #expect(has(.ENODEV, .unknownDevice, device: "nobody"))
        #expect(has(.EADDRINUSE, .mappingInReservedRegion, mapping: 0, device: ObjectLaboratory.reserving))
        #expect(has(.EINVAL, .misaligned, mapping: 1))
        #expect(has(.EINVAL, .zeroLength, mapping: 2))
        #expect(has(.EOVERFLOW, .iovaOverflow, mapping: 3))
        #expect(has(.EINVAL, .iovaReserved, mapping: 4, device: ObjectLaboratory.reserving))
        #expect(has(.EEXIST, .mappingsOverlap, mapping: 6))
        #expect(has(.EADDRINUSE, .mappingInReservedRegion, mapping: 7, device: ObjectLaboratory.pairSecond))
        #expect(laboratory.snapshot == before)
        other.close()
    }

    @Test func anExplanationTellsWhatAnAttachWouldSay() throws {
        var random = SeededGenerator(seed: 5)
        let starts: [UInt64] = [
            0, 0x7ff_f000, 0x800_0000, 0x810_0000, 0x3fff_f000, 0x4000_0000, 0x4010_0000, (1 << 48) - 4096, 1 << 48,
            1 << 63,
        ]
        var refused: Set<Reason> = []
        for round in 0..<200 {
            let laboratory = try ObjectLaboratory()
            let context = laboratory.context
            let ioas = try context.allocateIOAS()
            let memory = try laboratory.memory(1 << 16)
            if round % 3 == 0, let first = starts.randomElement(using: &random),
                let range = AddressRange(start: first, length: 0x1000_0000)
            {
                try context.allowIOVAs(ioas: ioas, ranges: [range])
            }
            for _ in 0..<random.next(below: 3) {
                let start = starts[Int(random.next(below: UInt64(starts.count)))]
                let length: UInt64 = random.next(below: 8) == 0 ? 0x80 : 0x2000
                _ = try? laboratory.map(ioas, memory, at: start, length: length)
            }
            let name = [ObjectLaboratory.reserving, ObjectLaboratory.pci][Int(random.next(below: 2))]
            let explanation = try context.explain(deviceNamed: name)
            let device = try laboratory.bind(name)
            do throws(IOMMUError) {
                _ = try context.attach(device: device, to: ioas, pasid: nil)
                #expect(explanation.viable && explanation.reasons.isEmpty)
            } catch {
                #expect(!explanation.viable)
                #expect(explanation.reasons.map(\.reason).contains(error.reason), "\(error.message)")
                refused.insert(error.reason)
            }
        }
        #expect(refused == [.mappingInReservedRegion, .mappingMisaligned, .allowedRangeNarrowed])
    }

    @Test func explanationsFollowEveryChange() throws {
        func reasons() throws -> [Reason] {
            try context.explain(deviceNamed: ObjectLaboratory.reserving).reasons.map(\.reason)
        }
        let ioas = try context.allocateIOAS()
        let memory = try laboratory.memory(1 << 16)
        #expect(try reasons().isEmpty)
        try laboratory.map(ioas, memory, at: 0x4000_0000, length: 0x1000)
        #expect(try reasons() == [.mappingInReservedRegion])
        #expect(try reasons() == [.mappingInReservedRegion])
        _ = try context.unmap(ioas: ioas, iova: 0x4000_0000, length: 0x1000)
        #expect(try reasons().isEmpty)
        let range = try #require(AddressRange(start: 0x4000_0000, length: 0x1000))
        try context.allowIOVAs(ioas: ioas, ranges: [range])
        #expect(try reasons() == [.allowedRangeNarrowed])
        try context.destroy(object: ioas)
        #expect(try reasons().isEmpty)
        let device = try laboratory.bind(ObjectLaboratory.reserving)
        let other = try context.allocateIOAS()
        try laboratory.map(other, memory, at: 0x10_0000, length: 0x80)
        #expect(try reasons() == [.mappingMisaligned])
        _ = try context.unmap(ioas: other, iova: 0x10_0000, length: 0x80)
        _ = try context.attach(device: device, to: other, pasid: nil)
        #expect(try reasons().isEmpty)
        let session = laboratory.backend.makeContext(
            owner: "another session", account: Account(uid: 7), limits: ContextLimits())
        #expect(
            try session.explain(deviceNamed: ObjectLaboratory.reserving).reasons.map(\.reason)
                == [.groupOwnedElsewhere])
        session.close()
    }

    @Test func manyPlacesAreNotAllListed() throws {
        let memory = try laboratory.memory(1 << 16)
        for _ in 0..<300 {
            try laboratory.map(context.allocateIOAS(), memory, at: 0x4000_0000, length: 0x1000)
        }
        #expect(try context.explain(deviceNamed: ObjectLaboratory.reserving).reasons.count == 256)
    }

    @Test func whatIsFineHereCanBeDone() throws {
        var random = SeededGenerator(seed: 3)
        for _ in 0..<30 {
            let mappings: [(UInt64, UInt64)] = (0..<6).map { _ in
                (random.next(below: 0x5000) << 16, (1 + random.next(below: 0x100)) << 16)
            }
            let problems = try check([ObjectLaboratory.reserving], mappings)
            let laboratory = try ObjectLaboratory()
            let context = laboratory.context
            let ioas = try context.allocateIOAS()
            let memory = try laboratory.memory(1 << 30)
            let device = try laboratory.bind(ObjectLaboratory.reserving)
            let result = Result {
                for (iova, length) in mappings { try laboratory.map(ioas, memory, at: iova, length: length) }
                _ = try context.attach(device: device, to: ioas, pasid: nil)
            }
            var succeeded = false
            if case .success = result { succeeded = true }
            #expect(succeeded == problems.isEmpty)
        }
    }

    @Test func aLargeLayoutIsLookedAtInPieces() {
        let devices: [DeviceSelector] = [.name(ObjectLaboratory.reserving), .name(ObjectLaboratory.pci)]
        let fine = (0..<5000).map { CheckedMapping(iova: 0x1_0000_0000 + UInt64($0) << 12, length: 4096) }
        let pieces = Array(context.beginCheck(devices: devices, mappings: fine))
        #expect(pieces.count > 5 && pieces.allSatisfy(\.isEmpty))
        let bad = Array(repeating: CheckedMapping(iova: 0x4000_0000, length: 0x1000), count: 8000)
        let problems = Array(context.beginCheck(devices: devices, mappings: bad))
        #expect(problems.allSatisfy { $0.count < 64 } && problems.joined().count == 10_000)
    }

    @Test func withoutDevicesAnyByteCanBeMapped() throws {
        let problems = context.check(devices: [], mappings: [CheckedMapping(iova: 0x1001, length: 5)])
        #expect(problems.isEmpty)
    }
}
