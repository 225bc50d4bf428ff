import IOMMU
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

extension LongWorkTests {
    /// A call that can be answered later, and what its answer is as a text.
    struct Call: CustomTestStringConvertible, Sendable {
        let testDescription: String
        /// Whether it makes tables, which may be missing.
        var allocates = true
        let begin: @Sendable (Bench) throws -> Answer<String>
    }

    static let calls = [
        Call(testDescription: "map by pages") { bench in
            try bench.context.beginMap(
                ioas: bench.ioas,
                MapRequest(memory: bench.memory, offset: 4096, length: 5 << 20, iova: 0x4000_0000, access: .read)
            ).text
        },
        Call(testDescription: "map by blocks, where one is chosen") { bench in
            try bench.context.beginMap(
                ioas: bench.ioas,
                MapRequest(memory: bench.memory, offset: 0, length: 16 << 20, iova: nil, access: [.read, .write])
            ).text
        },
        Call(testDescription: "map many") { bench in
            let requests = (0..<40).map { index in
                MapRequest(
                    memory: bench.memory, offset: UInt64(index) << 12, length: 8192,
                    iova: index % 3 == 0 ? nil : 0x80_0000_0000 + UInt64(index) << 31, access: [.read, .write])
            }
            return try bench.context.beginMap(ioas: bench.ioas, many: requests).text
        },
        Call(testDescription: "map many, of which the last cannot be") { bench in
            let requests = (0..<20).map { index in
                MapRequest(
                    memory: bench.memory, offset: 0, length: 4096,
                    iova: index == 19 ? 0x2_0000_1000 : UInt64(index + 1) << 40, access: .read)
            }
            return try bench.context.beginMap(ioas: bench.ioas, many: requests).text
        },
        Call(testDescription: "copy") { bench in
            try bench.context.beginCopy(
                from: bench.ioas, iova: 0x2_0000_1000, length: 5 << 20, to: bench.ioas, iova: nil, access: .read
            ).text
        },
        Call(testDescription: "copy of a hole") { bench in
            try bench.context.beginCopy(
                from: bench.ioas, iova: 0x1_0000_0000, length: 5 << 20, to: bench.ioas, iova: 0, access: .read
            ).text
        },
        Call(testDescription: "unmap some", allocates: false) { bench in
            try bench.context.beginUnmap(ioas: bench.ioas, iova: 0x1_0000_0000, length: 3 << 20).text
        },
        Call(testDescription: "unmap a cut", allocates: false) { bench in
            try bench.context.beginUnmap(ioas: bench.ioas, iova: 0x1_0000_0000, length: 0x1_0000_1000).text
        },
        Call(testDescription: "unmap all", allocates: false) { bench in
            try bench.context.beginUnmap(ioas: bench.ioas, iova: 0, length: .max).text
        },
        Call(testDescription: "allocate an hwpt") { bench in
            try bench.context.beginAllocateHWPT(HWPTRequest(device: bench.device, pt: bench.ioas, flags: .pasid)).text
        },
        Call(testDescription: "attach") { bench in
            let context = bench.context
            try context.detach(device: bench.other, pasid: nil)
            return try context.beginAttach(device: bench.other, to: bench.ioas, pasid: nil).text
        },
        Call(testDescription: "replace", allocates: false) { bench in
            try bench.context.beginReplace(device: bench.other, with: bench.second, pasid: nil).text
        },
        Call(testDescription: "detach", allocates: false) { bench in
            try bench.context.beginDetach(device: bench.other, pasid: nil).done
        },
        Call(testDescription: "unbind", allocates: false) { bench in
            try bench.context.beginUnbind(device: bench.other).done
        },
        Call(testDescription: "destroy", allocates: false) { bench in
            let parent = bench.context.table.all.last { $0 is PagingHWPT }
            return try bench.context.beginDestroy(object: parent?.id ?? 0).done
        },
        Call(testDescription: "close", allocates: false) { bench in bench.context.beginClose().done },
    ]
}

extension Answer where Value: CustomStringConvertible {
    /// Its value as a text.
    fileprivate var text: Answer<String> {
        switch self {
        case .now(let value): return .now("\(value)")
        case .later(let deferred):
            let text = Deferred<String>()
            deferred.whenSettled { text.settle($0.map { "\($0)" }) }
            return .later(text)
        }
    }
}

extension Answer<Void> {
    fileprivate var done: Answer<String> {
        switch self {
        case .now: return .now("done")
        case .later(let deferred):
            let text = Deferred<String>()
            deferred.whenSettled { text.settle($0.map { "done" }) }
            return .later(text)
        }
    }
}
