import IOMMU
import SMMUv3
import TestSupport
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// Memory for tables runs out at every possible point of an operation: nothing is left behind.
@Suite struct ObjectFailureTests {
    private func laboratory() throws -> (ObjectLaboratory, FailingPageSource) {
        var source: FailingPageSource?
        let laboratory = try ObjectLaboratory { machine in
            let failing = FailingPageSource(machine)
            source = failing
            return failing
        }
        return (laboratory, try #require(source))
    }

    /// Runs `body` with the n-th allocation failing, for n from 0 until it succeeds.
    private func failEverywhere<Value>(
        _ laboratory: ObjectLaboratory, _ source: FailingPageSource, sourceLocation: SourceLocation = #_sourceLocation,
        _ body: () throws -> Value
    ) throws -> (value: Value, failures: Int) {
        for attempt in 0..<200 {
            let before = laboratory.snapshot
            source.failsAfter = attempt
            defer { source.failsAfter = nil }
            do {
                return (try body(), attempt)
            } catch {
                #expect((error as? IOMMUError)?.errno == .ENOMEM, sourceLocation: sourceLocation)
                #expect(laboratory.snapshot == before, "attempt \(attempt)", sourceLocation: sourceLocation)
            }
        }
        throw IOMMUError(.EIO, .endless, "the operation never succeeded", hint: "this is a test")
    }

    @Test func aMapThatFailsInTheThirdTableUndoesTheOthers() throws {
        let (laboratory, source) = try laboratory()
        let context = laboratory.context
        let ioas = try context.allocateIOAS()
        let memory = try laboratory.memory()
        let names = [ObjectLaboratory.pci, ObjectLaboratory.stalling, ObjectLaboratory.other]
        for name in names {
            let device = try laboratory.bind(name)
            let hwpt = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas))
            _ = try context.attach(device: device, to: hwpt, pasid: nil)
        }
        let mapped = try failEverywhere(laboratory, source) { try laboratory.map(ioas, memory, at: 0x4000_0000_0000) }
        // The driver keeps tables that became free, so that each attempt gets further: into the third at last.
        #expect(mapped.failures >= 3)
        for name in names { #expect(try laboratory.reach(name, 0x4000_0000_0000) != nil) }
    }

    @Test func mapManyUndoesWhatWasMapped() throws {
        let (laboratory, source) = try laboratory()
        let context = laboratory.context
        let ioas = try context.allocateIOAS()
        let memory = try laboratory.memory()
        let device = try laboratory.bind(ObjectLaboratory.pci)
        _ = try context.attach(device: device, to: ioas, pasid: nil)
        let requests = (1..<5).map {
            MapRequest(memory: memory, offset: 0, length: 4096, iova: UInt64($0) << 40, access: .read)
        }
        var attempt = 0
        while attempt < 100 {
            let before = laboratory.snapshot
            source.failsAfter = attempt
            let result = Result { try context.map(ioas: ioas, many: requests) }
            source.failsAfter = nil
            if case .success = result { break }
            #expect(laboratory.snapshot == before)
            for request in requests { #expect(try laboratory.reach(ObjectLaboratory.pci, request.iova ?? 0) == nil) }
            attempt += 1
        }
        #expect((4..<100).contains(attempt))
    }

    @Test func attachAndReplaceLeaveNothingBehind() throws {
        let (laboratory, source) = try laboratory()
        let context = laboratory.context
        let memory = try laboratory.memory()
        let ioases = try [context.allocateIOAS(), context.allocateIOAS()]
        for ioas in ioases { try laboratory.map(ioas, memory, at: 0x1000) }
        let pair = try [ObjectLaboratory.pairFirst, ObjectLaboratory.pairSecond].map { try laboratory.bind($0) }
        let attached = try failEverywhere(laboratory, source) {
            try context.attach(device: pair[0], to: ioases[0], pasid: nil)
        }
        #expect(attached.failures >= 2)
        let replaced = try failEverywhere(laboratory, source) {
            try context.replace(device: pair[0], with: ioases[1], pasid: nil)
        }
        #expect(replaced.failures >= 1)
        let wide = try laboratory.bind(ObjectLaboratory.wide)
        let hwpt = try context.allocateHWPT(HWPTRequest(device: wide, pt: ioases[0], flags: .pasid))
        // The leaf of the CD table for a high PASID too.
        let high = try failEverywhere(laboratory, source) { try context.attach(device: wide, to: hwpt, pasid: 40_000) }
        #expect(high.failures >= 1)
    }

    @Test func failuresDoNotAddUp() throws {
        let (laboratory, source) = try laboratory()
        let context = laboratory.context
        let memory = try laboratory.memory()
        let ioas = try context.allocateIOAS()
        try laboratory.map(ioas, memory, at: 0x1000)
        let device = try laboratory.bind(ObjectLaboratory.wide)
        var settled: UInt64 = 0
        for round in 0..<60 {
            source.failsAfter = round % 3
            _ = try? context.attach(device: device, to: ioas, pasid: nil)
            _ = try? laboratory.map(ioas, memory, at: 0x7000_0000_0000)
            source.failsAfter = nil
            try context.detach(device: device, pasid: nil)
            _ = try? context.unmap(ioas: ioas, iova: 0x7000_0000_0000, length: 4096)
            if round == 29 { settled = source.bytesInUse }
        }
        #expect(source.bytesInUse == settled)
    }

    @Test func tagsRunOut() throws {
        let (laboratory, _) = try laboratory()
        let context = laboratory.context
        let ioas = try context.allocateIOAS()
        let device = try laboratory.bind(ObjectLaboratory.pci)
        let driver = try laboratory.backend.smmu(named: "smmu0").driver
        driver.asids = TagAllocator(kind: .asid, bits: 2)
        var hwpts: [ObjectID] = []
        for _ in 0..<4 {
            guard let hwpt = try? context.allocateHWPT(HWPTRequest(device: device, pt: ioas)) else { break }
            hwpts.append(hwpt)
        }
        expectRefusal(.ENOSPC, .asidExhausted, in: laboratory) {
            try context.allocateHWPT(HWPTRequest(device: device, pt: ioas))
        }
        expectRefusal(.ENOSPC, .asidExhausted, in: laboratory) {
            try context.attach(device: device, to: ioas, pasid: nil)
        }
        try context.destroy(object: try #require(hwpts.first))
        _ = try context.attach(device: device, to: ioas, pasid: nil)
    }
}
