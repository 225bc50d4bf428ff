import CLinux
import Glibc
import IOMMU
import KernelIOMMU
import KernelTestSupport
import LinuxIO
import Testing

/// `ioas.*` over a kernel: what it does, and what iommud is stricter about.
@Suite struct MappingTests {
    private let page: UInt64 = 4096

    @Test func mappingsAreTheKernelsAndAreKnownHere() throws {
        let bench = try KernelBench()
        let context = bench.context()
        let ioas = try context.allocateIOAS()
        let memory = try context.createMemory(size: 16 * page, name: nil, huge: false)
        #expect(try context.map(ioas: ioas, MapRequest(memory, page * 2, at: 0x10000)) == 0x10000)
        let chosen = try context.map(ioas: ioas, MapRequest(memory, from: page, page, .read))
        #expect(context.mappedBytes == 3 * page)
        let listed = try context.mappings(ioas: ioas, from: 0, limit: 10).mappings
        #expect(listed.map(\.iova).sorted() == [0x10000, chosen].sorted())
        #expect(listed.first { $0.iova == chosen }?.offset == page)
        expectRefusal(.EBUSY, .memoryMapped) { () throws(IOMMUError) in try context.closeMemory(memory) }
        #expect(try context.unmap(ioas: ioas, iova: 0, length: .max) == 3 * page)
        #expect(context.mappedBytes == 0)
        try context.closeMemory(memory)
        #expect(
            bench.kernel.log.filter { $0 == IOMMUFD.ioasMapFile.number }.count == 3, "one of them asks what there is")
    }

    @Test func aKernelWithoutFilesMapsOurOwnMapping() throws {
        let bench = try KernelBench(release: KernelVersion(6, 12))
        let context = bench.context()
        let ioas = try context.allocateIOAS()
        let memory = try context.createMemory(size: 4 * page, name: nil, huge: false)
        _ = try context.map(ioas: ioas, MapRequest(memory, from: page, page, at: 0x4000))
        #expect(bench.kernel.log.contains(IOMMUFD.ioasMap.number))
        _ = try context.unmap(ioas: ioas, iova: 0x4000, length: page)
        try context.closeMemory(memory)
        expectRefusal(.ENOTTY, .ioctlMissing) { () throws(IOMMUError) in
            let device = try context.bind(deviceNamed: "vfio0").device
            let flags = HWPTRequest(device: device, pt: ioas, flags: .nestParent)
            let parent = try context.allocateHWPT(flags)
            return try context.allocateVIOMMU(device: device, hwpt: parent, type: "arm_smmuv3")
        }
    }

    @Test func whatMayNotBeWrittenIsNotMappedWritable() throws {
        let bench = try KernelBench()
        let context = bench.context()
        let ioas = try context.allocateIOAS()
        let number = clinux_memfd_create("sealed", false)
        ftruncate(number, Int(page))
        _ = clinux_add_seals(number, CLINUX_SEAL_WRITE)
        let memory = try context.importMemory(Descriptor(adopting: number), name: nil).memory
        let calls = bench.kernel.log.count
        expectRefusal(.EPERM, .memoryNotWritable) { () throws(IOMMUError) in
            try context.map(ioas: ioas, MapRequest(memory, page))
        }
        #expect(bench.kernel.log.count == calls, "the kernel is not asked")
        _ = try context.map(ioas: ioas, MapRequest(memory, page, at: 0x1000, .read))
        let other = try context.allocateIOAS()
        expectRefusal(.EPERM, .copyAddsWrite) { () throws(IOMMUError) in
            try context.copy(from: ioas, iova: 0x1000, length: page, to: other, iova: nil, access: [.read, .write])
        }
    }

    @Test func refusalsOfTheKernelAreExplained() throws {
        let bench = try KernelBench()
        let context = bench.context()
        let ioas = try context.allocateIOAS()
        let memory = try context.createMemory(size: 16 * page, name: nil, huge: false)
        let device = try context.bind(deviceNamed: "vfio1").device
        _ = try context.attach(device: device, to: ioas, pasid: nil)
        _ = try context.map(ioas: ioas, MapRequest(memory, page, at: 0x4000))
        func map(_ request: MapRequest) -> () throws(IOMMUError) -> UInt64 {
            { () throws(IOMMUError) in try context.map(ioas: ioas, request) }
        }
        expectRefusal(.EEXIST, .alreadyMapped, map(MapRequest(memory, page, at: 0x4000)))
        expectRefusal(.EINVAL, .misaligned, map(MapRequest(memory, page, at: 0x4100)))
        expectRefusal(.EINVAL, .zeroLength, map(MapRequest(memory, 0, at: 0x8000)))
        expectRefusal(.EINVAL, .iovaReserved, map(MapRequest(memory, page, at: 0x800_0000)))
        expectRefusal(.EINVAL, .outsideMemory, map(MapRequest(memory, from: 16 * page, page, at: 0x8000)))
        expectRefusal(.EINVAL, .noAccess, map(MapRequest(memory, page, at: 0x8000, [])))
        expectRefusal(.EOVERFLOW, .iovaOverflow, map(MapRequest(memory, page, at: .max)))
        bench.kernel.fail(IOMMUFD.ioasMapFile.number, with: ENOMEM)
        expectRefusal(.ENOMEM, .noTableMemory, map(MapRequest(memory, page, at: 0x8000)))
        bench.kernel.fail(IOMMUFD.ioasMapFile.number, with: EFAULT)
        expectRefusal(.EIO, .kernelRefused, map(MapRequest(memory, page, at: 0x8000)))
        bench.kernel.fail(IOMMUFD.ioasMapFile.number, with: E2BIG)
        expectRefusal(.EOPNOTSUPP, .kernelTooOld, map(MapRequest(memory, page, at: 0x8000)))
        #expect(context.mappedBytes == page, "what was refused is not charged")
    }

    @Test func manyAreMappedOrNone() throws {
        let bench = try KernelBench()
        let context = bench.context()
        let ioas = try context.allocateIOAS()
        let memory = try context.createMemory(size: 64 * page, name: nil, huge: false)
        let good = (0..<40).map { MapRequest(memory, from: UInt64($0) * page, page, at: UInt64($0) * 2 * page) }
        let iovas = try bench.work.value(try context.beginMap(ioas: ioas, many: good))
        #expect(iovas == good.map { $0.iova })
        let bad = [MapRequest(memory, page, at: 0x100_0000), MapRequest(memory, page, at: 0x100_0000)]
        let error = refusal { () throws(IOMMUError) in try context.map(ioas: ioas, many: bad) }
        #expect(error?.reason == .alreadyMapped && error?.members.contains(.init("index", .number(1))) == true)
        #expect(try context.mappings(ioas: ioas, from: 0, limit: 100).mappings.count == 40)
        #expect(context.mappedBytes == 40 * page)
        _ = try context.map(ioas: ioas, MapRequest(memory, page, at: 0x100_0000))
    }

    @Test func anUnmapThatWouldCutChangesNothing() throws {
        let bench = try KernelBench()
        let context = bench.context()
        let ioas = try context.allocateIOAS()
        let memory = try context.createMemory(size: 16 * page, name: nil, huge: false)
        _ = try context.map(ioas: ioas, MapRequest(memory, page, at: 0x1000))
        _ = try context.map(ioas: ioas, MapRequest(memory, 2 * page, at: 0x2000))
        let calls = bench.kernel.log.count
        expectRefusal(.ENOENT, .wouldSplitMapping) { () throws(IOMMUError) in
            try context.unmap(ioas: ioas, iova: 0x1000, length: 2 * page)
        }
        expectRefusal(.ENOENT, .notMapped) { () throws(IOMMUError) in
            try context.unmap(ioas: ioas, iova: 0x10000, length: page)
        }
        #expect(bench.kernel.log.count == calls)
        #expect(try context.unmap(ioas: ioas, iova: 0x1000, length: 3 * page) == 3 * page)
    }

    /// The kernel lets go of some and not of the rest: then of none.
    @Test(arguments: [false, true])
    func anUnmapThatStopsHalfwayChangesNothing(isLong: Bool) throws {
        let bench = try KernelBench()
        let context = bench.context()
        let ioas = try context.allocateIOAS()
        let length = isLong ? 32 * page : page
        let memory = try context.createMemory(size: 4 * length, name: nil, huge: false)
        for index in 0..<4 {
            let access: Access = index == 1 ? .read : [.read, .write]
            _ = try context.map(
                ioas: ioas, MapRequest(memory, from: UInt64(index) * length, length, at: UInt64(index) << 24, access))
        }
        let (before, contents) = (try context.mappings(ioas: ioas, from: 0, limit: 9).mappings, bench.kernel.contents)
        bench.kernel.stopUnmapping(after: 2)
        expectRefusal(.EIO, .kernelRefused) { () throws(IOMMUError) in
            let answer = try context.beginUnmap(ioas: ioas, iova: 0, length: 4 << 24)
            guard case .later(let deferred) = answer else { return }
            var result: Result<UInt64, IOMMUError>?
            deferred.whenSettled { result = $0 }
            try? bench.work.turn { result != nil }
            _ = try result?.get()
        }
        #expect(bench.kernel.contents == contents)
        #expect(try context.mappings(ioas: ioas, from: 0, limit: 9).mappings == before)
        // Those that cannot be mapped again are gone, and nobody is told otherwise.
        bench.kernel.stopUnmapping(after: 2)
        bench.kernel.fail(IOMMUFD.ioasMapFile.number, with: ENOMEM, after: 1)
        let error = refusal { () throws(IOMMUError) in try context.unmap(ioas: ioas, iova: 0, length: 4 << 24) }
        #expect(error?.members.contains(.init("unmapped", .number(1))) == true)
        #expect(try context.mappings(ioas: ioas, from: 0, limit: 9).mappings.map(\.iova) == [0, 2 << 24, 3 << 24])
        #expect(context.mappedBytes == 3 * length)
    }

    @Test func copiesKeepWhatTheyAreOf() throws {
        let bench = try KernelBench()
        let context = bench.context()
        let (from, to) = (try context.allocateIOAS(), try context.allocateIOAS())
        let memory = try context.createMemory(size: 16 * page, name: nil, huge: false)
        _ = try context.map(ioas: from, MapRequest(memory, from: page, 4 * page, at: 0x10000))
        #expect(
            try context.copy(from: from, iova: 0x11000, length: page, to: to, iova: 0x8000, access: .read) == 0x8000)
        let copy = try context.mappings(ioas: to, from: 0, limit: 1).mappings.first
        #expect(copy?.memory == memory && copy?.offset == 2 * page && copy?.access == .read)
        expectRefusal(.ENOENT, .notMapped) { () throws(IOMMUError) in
            try context.copy(from: from, iova: 0xf000, length: 2 * page, to: to, iova: nil, access: .read)
        }
    }

    @Test func quotasHoldWhateverTheKernelCounts() throws {
        let bench = try KernelBench()
        var limits = ContextLimits()
        (limits.objects, limits.mappings) = (3, 1)
        let context = bench.context(limits: limits)
        let ioas = try context.allocateIOAS()
        let memory = try context.createMemory(size: 4 * page, name: nil, huge: false)
        _ = try context.map(ioas: ioas, MapRequest(memory, page, at: 0x1000))
        expectRefusal(.EDQUOT, .quotaExceeded) { () throws(IOMMUError) in
            try context.map(ioas: ioas, MapRequest(memory, page, at: 0x2000))
        }
        _ = try context.allocateIOAS()
        expectRefusal(.EDQUOT, .quotaExceeded) { () throws(IOMMUError) in try context.allocateIOAS() }
        #expect(context.objectCount == 3)
    }
}
