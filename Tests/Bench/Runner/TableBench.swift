import CBenchReference
import EmulatedIOMMU
import IOMMU
import SMMUv3

/// Mapping into and out of the io page tables, and reading their dirty state.
struct TableBench {
    private let machine: Machine
    private let driver: SMMUDriver
    private let pages = ScatteredPages()

    init() throws {
        machine = try Machine(tableSpace: TableSpace.standard)
        driver = try SMMUDriver(
            name: "smmu0", smmu: SMMU(memory: machine.memory, identification: .laboratory), pages: machine
        )
    }

    func run(seconds: Double) throws {
        let domain = try driver.makePagingDomain(.stage1, dirtyTracking: false, pasid: false)
        try randomPairs(domain, seconds: seconds)
        try inOrder(domain, seconds: seconds)
        domain.flush()
    }

    private func randomPairs(_ domain: PagingDomain, seconds: Double) throws {
        var position = 0
        var failures = 0
        measure("map4k+unmap4k-pair-random", seconds: seconds) {
            let index = pages.order[position & (ScatteredPages.count - 1)]
            position &+= 1
            do throws(IOMMUError) {
                try domain.map(
                    iova: pages.addresses[index], pa: pages.output(index), length: 4096, access: readWrite,
                    hugePages: false)
            } catch { failures += 1 }
            domain.unmap(iova: pages.addresses[index], length: 4096)
            domain.flush()
        }
        guard failures == 0 else { throw BenchError.wrong("random pairs: \(failures) maps failed") }
    }

    private func inOrder(_ domain: PagingDomain, seconds: Double) throws {
        var (mapping, unmapping, count) = (0.0, 0.0, 0)
        while mapping + unmapping < seconds * 2 {
            let begin = now()
            for index in 0..<ScatteredPages.count {
                try domain.map(
                    iova: pages.addresses[index], pa: pages.output(index), length: 4096, access: readWrite,
                    hugePages: false)
            }
            let middle = now()
            for index in 0..<ScatteredPages.count { domain.unmap(iova: pages.addresses[index], length: 4096) }
            unmapping += now() - middle
            mapping += middle - begin
            count += ScatteredPages.count
            domain.flush()
        }
        report("map4k-seq", nanoseconds: mapping * 1e9 / Double(count))
        report("unmap4k-seq", nanoseconds: unmapping * 1e9 / Double(count))
    }

    /// 1 GiB in 4 KiB pages, every eighth dirty, against a plain C loop over the same tables.
    func dirty() throws {
        let bytes: UInt64 = 1 << 30
        let domain = try driver.makePagingDomain(.stage1, dirtyTracking: true, pasid: false)
        try domain.map(iova: bytes, pa: 1 << 40, length: bytes, access: readWrite, hugePages: false)
        try domain.setDirtyTracking(true)
        let count = Int(bytes / 4096)
        var (ours, theirs) = (Double.infinity, Double.infinity)
        for _ in 0..<15 {
            try soil(domain, from: bytes, count: count)
            var bitmap = [UInt8](repeating: 0, count: count / 8)
            var begin = processorTime()
            let found = try domain.readDirty(iova: bytes, length: bytes, pageSize: 4096, clear: true, into: &bitmap)
            ours = min(ours, processorTime() - begin)
            try soil(domain, from: bytes, count: count)
            bitmap = [UInt8](repeating: 0, count: count / 8)
            begin = processorTime()
            let expected = reference_read_dirty(tableMemory(domain), domain.table.root, bytes, UInt64(count), &bitmap)
            theirs = min(theirs, processorTime() - begin)
            guard found == expected, found == UInt64(count / 8) else {
                throw BenchError.wrong("dirty: \(found), reference \(expected), of \(count / 8)")
            }
        }
        report("dirty-bitmap-1GiB", ratio: theirs / ours)
    }

    /// What the hardware does on a write: AP[2] is cleared where DBM is set.
    private func soil(_ domain: PagingDomain, from start: UInt64, count: Int) throws {
        for page in stride(from: 0, to: count, by: 8) {
            let leaf = leafAddress(domain, start + UInt64(page) * 4096)
            guard let word = machine.memory.load64(leaf) else { continue }
            _ = machine.memory.store64(leaf, word & ~(1 << 7))
        }
    }

    private func leafAddress(_ domain: PagingDomain, _ iova: UInt64) -> UInt64 {
        var table = domain.table.root
        for level in 0..<3 {
            table = (machine.memory.load64(table + (iova >> UInt64(39 - 9 * level) & 511) * 8) ?? 0) & 0xffff_ffff_f000
        }
        return table + (iova >> 12 & 511) * 8
    }

    private func tableMemory(_ domain: PagingDomain) -> UnsafeMutablePointer<UInt8> {
        let root = domain.table.root
        return (machine.pointer(root) - Int(root)).assumingMemoryBound(to: UInt8.self)
    }
}
