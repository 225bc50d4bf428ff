import IOMMU
import TestSupport
import Testing

@testable import IOMMUObjects

@Suite struct HWPTTests {
    let laboratory: ObjectLaboratory
    let context: ObjectContext
    let ioas: ObjectID
    let device: ObjectID

    init() throws {
        laboratory = try ObjectLaboratory()
        context = laboratory.context
        ioas = try context.allocateIOAS()
        device = try laboratory.bind(ObjectLaboratory.stalling)
    }

    @Test func everyFlagCombination() throws {
        let possible: Set<UInt32> = [0, 1, 2, 8, 10]
        for flags in 0..<32 as Range<UInt32> {
            let request = HWPTRequest(device: device, pt: ioas, flags: HWPTFlags(rawValue: flags))
            if possible.contains(flags) {
                try context.destroy(object: try context.allocateHWPT(request))
            } else {
                expectRefusal(.EOPNOTSUPP, .flagsUnsupported, in: laboratory) { try context.allocateHWPT(request) }
            }
        }
    }

    @Test func requestsThatMakeNoSense() throws {
        let fault = try context.allocateFaultQueue()
        let parent = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: .nestParent))
        expectRefusal(.ENOENT, in: laboratory) { try context.allocateHWPT(HWPTRequest(device: 99, pt: ioas)) }
        for pt in [0, 99, .max, fault, device] as [ObjectID] {
            expectRefusal(.EINVAL, in: laboratory) { try context.allocateHWPT(HWPTRequest(device: device, pt: pt)) }
        }
        expectRefusal(.ENOENT, in: laboratory) {
            try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, fault: ioas))
        }
        expectRefusal(.EOPNOTSUPP, in: laboratory) {
            try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: .nestParent, fault: fault))
        }
        expectRefusal(.EOPNOTSUPP, .nestThroughViommu, in: laboratory) {
            try context.allocateHWPT(HWPTRequest(device: device, pt: parent, vste: (1, 0)))
        }
        expectRefusal(.EOPNOTSUPP, in: laboratory) {
            try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, vste: (1, 0)))
        }
    }

    @Test func usersAreCounted() throws {
        let fault = try context.allocateFaultQueue()
        let hwpt = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, fault: fault))
        expectRefusal(.EBUSY, .objectInUse, in: laboratory) { try context.destroy(object: fault) }
        expectRefusal(.EBUSY, .objectInUse, in: laboratory) { try context.destroy(object: ioas) }
        _ = try context.attach(device: device, to: hwpt, pasid: nil)
        expectRefusal(.EBUSY, .objectInUse, in: laboratory) { try context.destroy(object: hwpt) }
        expectRefusal(.EBUSY, .deviceBound, in: laboratory) { try context.destroy(object: device) }
        for id in [0, 99, .max] as [ObjectID] {
            expectRefusal(.ENOENT, in: laboratory) { try context.destroy(object: id) }
        }
        try context.unbind(device: device)
        for id in [hwpt, fault, ioas] { try context.destroy(object: id) }
        #expect(context.isEmpty)
    }

    @Test func idsAreTheLowestFree() throws {
        #expect(ioas == 1 && device == 2)
        let (third, fourth) = (try context.allocateIOAS(), try context.allocateFaultQueue())
        #expect(third == 3 && fourth == 4)
        try context.destroy(object: third)
        try context.destroy(object: ioas)
        #expect(try context.allocateFaultQueue() == 1)
        #expect(try context.allocateIOAS() == 3)
        #expect(try context.allocateIOAS() == 5)
    }

    // MARK: Dirty tracking

    @Test func dirtyPagesAreExact() throws {
        let memory = try laboratory.memory()
        try context.setHugePages(ioas: ioas, false)
        try laboratory.map(ioas, memory, at: 0, length: 1 << 20)
        let hwpt = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: .dirtyTracking))
        _ = try context.attach(device: device, to: hwpt, pasid: nil)
        try context.setDirtyTracking(hwpt: hwpt, enabled: true)
        #expect(
            try context.dirtyBitmap(hwpt: hwpt, DirtyRequest(iova: 0, length: 1 << 20, pageSize: 4096, clear: true))
                .dirty == 0)
        for page in [0, 9, 255] as [UInt64] {
            #expect(try laboratory.reach(ObjectLaboratory.stalling, page << 12, .write) != nil)
        }
        #expect(try laboratory.reach(ObjectLaboratory.stalling, 7 << 12, .read) != nil)
        let seen = try context.dirtyBitmap(
            hwpt: hwpt, DirtyRequest(iova: 0, length: 1 << 20, pageSize: 4096, clear: false))
        #expect(seen.dirty == 3 && seen.bitmap.count == 32)
        #expect(seen.bitmap[0] == 1 && seen.bitmap[1] == 2 && seen.bitmap[31] == 0x80)
        let coarse = try context.dirtyBitmap(
            hwpt: hwpt, DirtyRequest(iova: 0, length: 1 << 20, pageSize: 1 << 16, clear: true))
        #expect(coarse.dirty == 2 && coarse.bitmap == [1, 0x80])
        #expect(
            try context.dirtyBitmap(hwpt: hwpt, DirtyRequest(iova: 0, length: 1 << 20, pageSize: 4096, clear: true))
                .dirty == 0)
        // Read and cleared: the next write is seen again, whatever the SMMU had cached.
        #expect(try laboratory.reach(ObjectLaboratory.stalling, 9 << 12, .write) != nil)
        #expect(
            try context.dirtyBitmap(
                hwpt: hwpt, DirtyRequest(iova: 8 << 12, length: 2 << 12, pageSize: 4096, clear: true)
            ).bitmap == [2])
    }

    @Test func aRefusedQueryClearsNothing() throws {
        let memory = try laboratory.memory()
        try laboratory.map(ioas, memory, at: 0x10000)
        let hwpt = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: .dirtyTracking))
        _ = try context.attach(device: device, to: hwpt, pasid: nil)
        try context.setDirtyTracking(hwpt: hwpt, enabled: true)
        #expect(try laboratory.reach(ObjectLaboratory.stalling, 0x10000, .write) != nil)
        func read(_ iova: UInt64, _ length: UInt64, _ pageSize: UInt64) throws -> UInt64 {
            try context.dirtyBitmap(
                hwpt: hwpt, DirtyRequest(iova: iova, length: length, pageSize: pageSize, clear: true)
            ).dirty
        }
        for (iova, length) in [(0x10000, 0x800), (0x10800, 0x800), (0x10000, 0x2000)] as [(UInt64, UInt64)] {
            expectRefusal(.EINVAL, in: laboratory) { try read(iova, length, 2048) }
        }
        // A smaller page_size is fine: each of its pages is as dirty as the leaf.
        #expect(try read(0x10000, 0x1000, 2048) == 2)
        #expect(try read(0x10000, 0x1000, 4096) == 0)
    }

    @Test func turningItOnAgainForgetsWhatWasDirty() throws {
        let memory = try laboratory.memory()
        try laboratory.map(ioas, memory, at: 0)
        let hwpt = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: .dirtyTracking))
        _ = try context.attach(device: device, to: hwpt, pasid: nil)
        func dirty() throws -> UInt64 {
            try context.dirtyBitmap(hwpt: hwpt, DirtyRequest(iova: 0, length: 4096, pageSize: 4096, clear: false)).dirty
        }
        try context.setDirtyTracking(hwpt: hwpt, enabled: true)
        for _ in 0..<2 {
            #expect(try laboratory.reach(ObjectLaboratory.stalling, 0, .write) != nil)
            #expect(try dirty() == 1)
            try context.setDirtyTracking(hwpt: hwpt, enabled: true)
            #expect(try dirty() == 0)
        }
    }

    @Test func badDirtyRequests() throws {
        let memory = try laboratory.memory()
        try laboratory.map(ioas, memory, at: 0x10000, length: 0x10000)
        try laboratory.map(ioas, memory, at: 0x21000)
        let plain = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas))
        let hwpt = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: .dirtyTracking))
        func read(_ iova: UInt64, _ length: UInt64, _ page: UInt64, of id: ObjectID? = nil) throws -> UInt64 {
            try context.dirtyBitmap(
                hwpt: id ?? hwpt, DirtyRequest(iova: iova, length: length, pageSize: page, clear: true)
            ).dirty
        }
        expectRefusal(.EOPNOTSUPP, in: laboratory) { try context.setDirtyTracking(hwpt: plain, enabled: true) }
        expectRefusal(.EOPNOTSUPP, in: laboratory) { try read(0x10000, 0x1000, 4096, of: plain) }
        expectRefusal(.ENOENT, in: laboratory) { try context.setDirtyTracking(hwpt: ioas, enabled: true) }
        for page in [0, 3, 4095, 4097] as [UInt64] {
            expectRefusal(.EINVAL, in: laboratory) { try read(0x10000, 0x1000, page) }
        }
        expectRefusal(.EINVAL, in: laboratory) { try read(0x10800, 0x1000, 4096) }
        expectRefusal(.EINVAL, in: laboratory) { try read(0x10000, 0x800, 4096) }
        expectRefusal(.EINVAL, in: laboratory) { try read(0x10000, 0, 4096) }
        expectRefusal(.EINVAL, .notMapped, in: laboratory) { try read(0x10000, 0x20000, 4096) }
        expectRefusal(.EINVAL, .notMapped, in: laboratory) { try read(0, 0x20000, 4096) }
        expectRefusal(.EOVERFLOW, in: laboratory) { try read(.max - 4095, 0x2000, 4096) }
        expectRefusal(.EMSGSIZE, in: laboratory) { try read(0, 1 << 40, 4096) }
        for length in [1 << 60, .max - 4095] as [UInt64] {
            expectRefusal(.EMSGSIZE, in: laboratory) { try read(0, length, 1) }
        }
        // Whole pages of the IOAS only, however small those of the bitmap are; what is dirty stays so.
        for (iova, length) in [(0x10800, 0x1000), (0x10000, 0x800), (0x10800, 0x800), (0, .max)] as [(UInt64, UInt64)] {
            expectRefusal(.EINVAL, .misaligned, in: laboratory) { try read(iova, length, 1) }
        }
        try context.setDirtyTracking(hwpt: hwpt, enabled: true)
        #expect(try read(0x10000, 0x10000, 4096) == 0)
    }
}
