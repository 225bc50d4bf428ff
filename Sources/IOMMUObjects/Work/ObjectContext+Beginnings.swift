import IOMMU

/// The calls about mappings that can take long: at once where they are small, else in later turns.
extension ObjectContext {
    package func beginMap(ioas id: ObjectID, _ request: MapRequest) throws(IOMMUError) -> Answer<UInt64> {
        try checkRequest(request, ioas: id)
        guard request.mm == nil else {
            return try beginMap(spaces: [request], ioas: id) { [self] (requests) throws(IOMMUError) in
                try beginMap(ioas: id, requests[0])
            }
        }
        let ioas = try ioas(id)
        let memory = try mapped(request.memory)
        let location = memories.location(of: request.memory)
        guard ioas.isLong(mappings: 1, bytes: request.length, longestAtOnce), let executor = registry.host.longWork
        else {
            return .now(try map(ioas, ioas.hwpts, memory, at: location, request, isCharged: false))
        }
        let work = mapWork([request], in: ioas, namesIndex: false) { $0.first }
        return begin(work, on: executor)
    }

    package func beginMap(ioas id: ObjectID, many requests: [MapRequest]) throws(IOMMUError) -> Answer<[UInt64]> {
        let ioas = try ioas(id, for: requests)
        if requests.contains(where: { $0.mm != nil }) {
            return try beginMap(spaces: requests, ioas: id) { [self] (requests) throws(IOMMUError) in
                try beginMap(ioas: id, many: requests)
            }
        }
        guard ioas.isLong(requests, longestAtOnce), let executor = registry.host.longWork else {
            return .now(try map(ioas: id, many: requests))
        }
        let work = mapWork(requests, in: ioas, namesIndex: true) { $0.starts }
        return begin(work, on: executor)
    }

    private func mapWork<Value>(
        _ requests: [MapRequest], in ioas: IOAS, namesIndex: Bool, value: @escaping (MappingSet) -> Value
    ) -> MapWork<Value> {
        var next = 0
        return MapWork(
            self, ioas, into: .starts([]), namesIndex: namesIndex,
            enterNext: { [self] () throws(IOMMUError) -> MapStep in
                guard next < requests.count else { return .end }
                let request = requests[next]
                do throws(IOMMUError) {
                    try checkRequest(request, ioas: ioas.id)
                    let memory = try mapped(request.memory)
                    // In the map of the IOAS alone.
                    let start = try map(
                        ioas, [], memory, at: memories.location(of: request.memory), request, isCharged: false)
                    next += 1
                    return .entered(start, last: start &+ (request.length &- 1))
                } catch {
                    throw namesIndex ? error.with("index", .number(UInt64(next))) : error
                }
            }, value: value)
    }

    package func beginUnmap(ioas id: ObjectID, iova: UInt64, length: UInt64) throws(IOMMUError) -> Answer<UInt64> {
        let ioas = try ioas(id)
        if iova == 0, length == .max {
            guard ioas.isLong(mappings: ioas.areas.count, bytes: ioas.mappedBytes, longestAtOnce),
                let executor = registry.host.longWork
            else { return .now(unmapAll(ioas)) }
            return begin(UnmapWork(self, ioas, start: 0, last: .max) { $0 }, on: executor)
        }
        let last = try last(of: ioas, iova, length)
        let first = try ioas.extent(start: iova, last: last)
        // One mapping in few tables is what nearly all are.
        if first.last < last || ioas.isLong(mappings: 1, bytes: first.last &- first.start, longestAtOnce),
            ioas.isLong(from: first, last: last, longestAtOnce), let executor = registry.host.longWork
        {
            return begin(UnmapWork(self, ioas, start: iova, last: last) { $0 }, on: executor)
        }
        return .now(unmap(ioas, first, last: last))
    }

    package func beginCopy(
        from source: ObjectID, iova: UInt64, length: UInt64, to destination: ObjectID, iova fixed: UInt64?,
        access: Access
    ) throws(IOMMUError) -> Answer<UInt64> {
        try checkCopy(from: source, iova: iova, length: length, to: destination, iova: fixed, access)
        let from = try ioas(source)
        guard let first = from.areas.first(endingAtOrAfter: iova), let to = table[destination] as? IOAS,
            to.isLong(
                mappings: from.countMappings(from: first, last: iova.addingReportingOverflow(length).partialValue),
                bytes: length, longestAtOnce), let executor = registry.host.longWork
        else {
            return .now(
                try copy(from: source, iova: iova, length: length, to: destination, iova: fixed, access: access))
        }
        let pieces = try PieceSource(from, iova: iova, length: length)
        let steps = CopySteps(self, pieces, length: length, to: to, at: fixed, access)
        return begin(
            MapWork(
                self, to, into: .span(0, last: nil),
                enterNext: { () throws(IOMMUError) -> MapStep in try steps.step() }, value: { $0.first }), on: executor)
    }
}

extension IOAS {
    /// Whether so many mappings in the tables of all hwpts take longer than that.
    @inline(__always)
    func isLong(mappings: Int, bytes: UInt64, _ units: UInt64) -> Bool {
        // A first page in a table takes several steps, half a MiB of pages about one.
        let each = 8 &+ UInt64(mappings) / 4 &+ bytes >> 19
        return UInt64(hwpts.count) &* each &+ UInt64(mappings) / 4 > units
    }

    /// Whether these take longer than that. Pages beside each other, which are what nearly all are, go into a table
    /// thirty times as fast as pages that are each the first of theirs.
    func isLong(_ requests: [MapRequest], _ units: UInt64) -> Bool {
        var (bytes, tables, nearest) = (UInt64(0), UInt64(0), UInt64.max)
        for request in requests {
            bytes = bytes.addingReportingOverflow(request.length).partialValue
            // Where the place is chosen here, it is behind the one before.
            let start = request.iova ?? bytes
            if start >> 21 != nearest { tables &+= 1 }
            nearest = start.addingReportingOverflow(request.length &- 1).partialValue >> 21
        }
        let count = UInt64(requests.count)
        let each = 8 &+ count / 32 &+ tables &* 8 &+ bytes >> 19
        return UInt64(hwpts.count) &* each &+ count / 32 > units
    }

    /// Whether all of its mappings in one table take longer than that.
    func isLarge(_ units: UInt64) -> Bool { 1 &+ UInt64(areas.count) / 4 &+ mappedBytes >> 19 > units }

    /// As ``isLong(mappings:bytes:_:)``, for what lies between two addresses.
    func isLong(from first: AreaMap.Position, last: UInt64, _ units: UInt64) -> Bool {
        let count = countMappings(from: first, last: last)
        return count >= ObjectContext.mappingsAtOnce
            || isLong(mappings: count, bytes: min(last &- first.start, mappedBytes), units)
    }

    /// How many there are up to an address; no more than ``ObjectContext/mappingsAtOnce`` are counted.
    func countMappings(from first: AreaMap.Position, last: UInt64) -> Int {
        var position: AreaMap.Position? = first
        var count = 0
        while let current = position, current.start <= last, count < ObjectContext.mappingsAtOnce {
            count += 1
            position = current.next
        }
        return count
    }
}
