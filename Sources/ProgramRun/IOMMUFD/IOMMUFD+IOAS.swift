import CLinux
import Glibc
import JSONRPC
import LinuxIO

/// I/O address spaces.
extension IOMMUFD {
    private enum MapFlag {
        static let fixed: UInt32 = 1
        static let writable: UInt32 = 2
        static let readable: UInt32 = 4
        static let all: UInt32 = 7
    }

    /// `IOMMU_IOAS_ALLOC`
    func allocateIOAS(_ argument: inout IOCTLArgument) throws(Refusal) {
        try argument.require(4)
        argument[word32: 8] = try link.call("ioas.alloc").id("ioas")
        hasObjects = true
        try argument.respond()
    }

    /// `IOMMU_IOAS_MAP`: pages of whoever calls.
    func map(_ argument: inout IOCTLArgument) throws(Refusal) {
        try argument.require(4, only: MapFlag.all)
        try argument.require(12)
        let (va, length, iova) = (argument[word64: 16], argument[word64: 24], argument[word64: 32])
        argument[word64: 32] = try map(
            pages: va, of: argument.memory.call, length: length, ioas: argument[word32: 8], iova: iova,
            flags: argument[word32: 4])
        try argument.respond()
    }

    /// - Returns: the IOVA.
    func map(
        pages va: UInt64, of call: StoppedCall, length: UInt64, ioas: UInt32, iova: UInt64, flags: UInt32
    ) throws(Refusal) -> UInt64 {
        try checkMapping(length: length, iova: iova, flags)
        let mm = try supervisor.spaces.space(of: call, in: self)
        let params: [(String, JSONValue?)] = [("mm", .count(UInt64(mm))), ("va", .hex(va))]
        return try link.call("ioas.map", params + target(ioas, iova, length, flags)).number("iova")
    }

    private func checkMapping(length: UInt64, iova: UInt64, _ flags: UInt32) throws(Refusal) {
        guard iova < .max, length < .max else { throw Refusal(EOVERFLOW) }
        guard flags & (MapFlag.readable | MapFlag.writable) != 0 else { throw Refusal(EINVAL) }
    }

    private func target(
        _ ioas: UInt32, _ iova: UInt64, _ length: UInt64, _ flags: UInt32
    ) -> [(String, JSONValue?)] {
        [
            ("ioas", .count(UInt64(ioas))), ("length", .hex(length)),
            ("iova", flags & MapFlag.fixed != 0 ? .hex(iova) : nil), ("access", Self.access(flags)),
        ]
    }

    private static func access(_ flags: UInt32) -> JSONValue {
        let names = [(MapFlag.readable, "read"), (MapFlag.writable, "write")]
        return .array(names.filter { flags & $0.0 != 0 }.map { .string($0.1) })
    }

    /// `IOMMU_IOAS_MAP_FILE`: a memfd of the program's.
    func mapFile(_ argument: inout IOCTLArgument) throws(Refusal) {
        let flags = argument[word32: 4]
        try argument.require(4, only: MapFlag.all)
        let (start, length, iova) = (argument[word64: 16], argument[word64: 24], argument[word64: 32])
        try checkMapping(length: length, iova: iova, flags)
        let file = try supervisor.copy(
            of: Int32(bitPattern: argument[word32: 12]), from: argument.memory.call)
        let wanted = target(argument[word32: 8], iova, length, flags) + [("offset", .hex(start))]
        argument[word64: 32] = try mapFile(file, wanted)
        try argument.respond()
    }

    private func mapFile(
        _ file: borrowing Descriptor, _ wanted: [(String, JSONValue?)]
    ) throws(Refusal) -> UInt64 {
        guard let identity = GivenFiles.Identity(file.number) else { throw Refusal(EBADF) }
        if let known = files[identity] {
            do throws(Refusal) {
                return try link.call("ioas.map", [("memory", .count(UInt64(known)))] + wanted).number("iova")
            } catch  where error.errno != EINVAL {
                throw error
            } catch {
                // The file may have grown since.
                files[identity] = nil
            }
        }
        let memory = try link.call("memory.import", descriptors: [file.number]).id("memory")
        files[identity] = memory
        return try link.call("ioas.map", [("memory", .count(UInt64(memory)))] + wanted).number("iova")
    }

    /// `IOMMU_IOAS_UNMAP`
    func unmap(_ argument: inout IOCTLArgument) throws(Refusal) {
        argument[word64: 16] = try unmap(
            ioas: argument[word32: 4], iova: argument[word64: 8], length: argument[word64: 16])
        try argument.respond()
    }

    /// - Returns: bytes.
    func unmap(ioas: UInt32, iova: UInt64, length: UInt64) throws(Refusal) -> UInt64 {
        try link.call(
            "ioas.unmap", [("ioas", .count(UInt64(ioas))), ("iova", .hex(iova)), ("length", .hex(length))]
        ).number("unmapped")
    }

    /// `IOMMU_IOAS_COPY`
    func copy(_ argument: inout IOCTLArgument) throws(Refusal) {
        let flags = argument[word32: 4]
        try argument.require(4, only: MapFlag.all)
        let (length, iova, source) = (argument[word64: 16], argument[word64: 24], argument[word64: 32])
        try checkMapping(length: length, iova: iova, flags)
        argument[word64: 24] = try link.call(
            "ioas.copy",
            [
                ("src_ioas", .count(UInt64(argument[word32: 12]))), ("src_iova", .hex(source)),
                ("length", .hex(length)), ("dst_ioas", .count(UInt64(argument[word32: 8]))),
                ("dst_iova", flags & MapFlag.fixed != 0 ? .hex(iova) : nil), ("access", Self.access(flags)),
            ]
        ).number("iova")
        try argument.respond()
    }

    // MARK: Ranges

    /// More are refused: nobody has so many.
    private static let mostRanges: UInt32 = 65_536

    /// `IOMMU_IOAS_IOVA_RANGES`: as many as fit; `EMSGSIZE` if there are more.
    func iovaRanges(_ argument: inout IOCTLArgument) throws(Refusal) {
        try argument.require(12)
        let answer = try link.call("ioas.iova_ranges", [("ioas", .count(UInt64(argument[word32: 4])))])
        let ranges = answer["ranges"]?.arrayValue ?? []
        let room = Int(argument[word32: 8])
        argument[word32: 8] = UInt32(clamping: ranges.count)
        argument[word64: 24] = try answer.number("alignment")
        var list = ArgumentBytes([UInt8](repeating: 0, count: 16 * min(room, ranges.count)))
        for (index, range) in ranges.prefix(room).enumerated() {
            list[word64: 16 * index] = try range.number("start")
            list[word64: 16 * index + 8] = try range.number("last")
        }
        try argument.memory.write(argument[word64: 16], list.bytes)
        try argument.respond()
        guard ranges.count <= room else { throw Refusal(EMSGSIZE) }
    }

    /// `IOMMU_IOAS_ALLOW_IOVAS`
    func allowIOVAs(_ argument: inout IOCTLArgument) throws(Refusal) {
        try argument.require(12)
        let count = argument[word32: 8]
        guard count <= Self.mostRanges else { throw Refusal(ENOMEM) }
        let list = ArgumentBytes(try argument.memory.read(argument[word64: 16], count: 16 * Int(count)))
        var ranges: [JSONValue] = []
        for index in 0..<Int(count) {
            let (start, last) = (list[word64: 16 * index], list[word64: 16 * index + 8])
            guard start < last else { throw Refusal(EINVAL) }
            ranges.append(.given([("start", .hex(start)), ("last", .hex(last))]))
        }
        try link.call(
            "ioas.allow_iovas", [("ioas", .count(UInt64(argument[word32: 4]))), ("ranges", .array(ranges))])
    }

    /// `IOMMU_IOAS_CHANGE_PROCESS`: nothing is pinned on anybody's account.
    func changeProcess(_ argument: inout IOCTLArgument) throws(Refusal) {
        try argument.require(4)
    }

    // MARK: Options

    /// `IOMMU_OPTION`
    func option(_ argument: inout IOCTLArgument) throws(Refusal) {
        guard argument[word16: 10] == 0 else { throw Refusal(EOPNOTSUPP) }
        let (option, operation, object) = (argument[word32: 4], argument[word16: 8], argument[word32: 12])
        let isSetting = operation == 0
        guard operation <= 1 else { throw Refusal(EOPNOTSUPP) }
        switch option {
        case 0: try limitOption(&argument, isSetting: isSetting, object: object)
        case 1: try pageOption(&argument, isSetting: isSetting, ioas: object)
        default: throw Refusal(EOPNOTSUPP)
        }
        if !isSetting { try argument.respond() }
    }

    /// `IOMMU_OPTION_RLIMIT_MODE`
    private func limitOption(_ argument: inout IOCTLArgument, isSetting: Bool, object: UInt32) throws(Refusal) {
        guard object == 0 else { throw Refusal(EOPNOTSUPP) }
        guard isSetting else {
            argument[word64: 16] = limitsByProcess
            return
        }
        guard getuid() == 0 else { throw Refusal(EPERM) }
        guard !hasObjects else { throw Refusal(EBUSY) }
        guard argument[word64: 16] <= 1 else { throw Refusal(EINVAL) }
        limitsByProcess = argument[word64: 16]
    }

    /// `IOMMU_OPTION_HUGE_PAGES`
    private func pageOption(_ argument: inout IOCTLArgument, isSetting: Bool, ioas: UInt32) throws(Refusal) {
        let params: [(String, JSONValue?)] = [("ioas", .count(UInt64(ioas)))]
        guard isSetting else {
            let answer = try link.call("ioas.get_option", params)
            argument[word64: 16] = answer["huge_pages"]?.boolValue == true ? 1 : 0
            return
        }
        guard argument[word64: 16] <= 1 else { throw Refusal(EINVAL) }
        try link.call("ioas.set_option", params + [("huge_pages", .bool(argument[word64: 16] == 1))])
    }
}
