import IOMMU

/// Mappings of pages of processes: the processes are asked first, then it is as with memory objects.
extension ObjectContext {
    /// - Parameters:
    ///   - requests: some or all of them of address spaces.
    ///   - map: begins to map the requests with places in the machine instead.
    func beginMap<Value>(
        spaces requests: [MapRequest], ioas: ObjectID,
        _ map: @escaping ([MapRequest]) throws(IOMMUError) -> Answer<Value>
    ) throws(IOMMUError) -> Answer<Value> {
        _ = try self.ioas(ioas)
        guard let lender else { throw .callersMemoryOnly(mm: requests.compactMap(\.mm).first ?? 0) }
        for (index, request) in requests.enumerated() {
            do throws(IOMMUError) { try checkRequest(request, ioas: ioas) } catch {
                throw requests.count > 1 ? error.with("index", .number(UInt64(index))) : error
            }
        }
        let deferred = Deferred<Value>()
        (isCalledOff, shown) = (false, (mapped, objectCount))
        try lender.check(requests.filter { $0.mm != nil }).whenSettled { [self] result in
            shown = nil
            do throws(IOMMUError) {
                try result.get()
                guard !isCalledOff else { throw LongWork<Value>.calledOff }
                try lend(requests, by: lender, map).whenSettled { deferred.settle($0) }
            } catch {
                deferred.settle(.failure(error))
            }
        }
        return .later(deferred)
    }

    /// Whatever has a place and is not mapped in the end loses it.
    private func lend<Value>(
        _ requests: [MapRequest], by lender: any MemoryLending,
        _ map: ([MapRequest]) throws(IOMMUError) -> Answer<Value>
    ) throws(IOMMUError) -> Deferred<Value> {
        var lent: [ObjectID] = []
        var placed = requests
        let deferred = Deferred<Value>()
        do throws(IOMMUError) {
            for (index, request) in requests.enumerated() {
                guard let mm = request.mm else { continue }
                let id = memories.insert(try lender.lend(mm: mm, va: request.offset, length: request.length))
                lent.append(id)
                placed[index].memory = id
            }
            switch try map(placed) {
            case .now(let value): deferred.settle(.success(value))
            case .later(let mapped):
                mapped.whenSettled { [self] result in
                    if case .failure = result { giveBack(lent) }
                    deferred.settle(result)
                }
            }
        } catch {
            giveBack(lent)
            throw error
        }
        return deferred
    }

    private func giveBack(_ lent: [ObjectID]) {
        for id in lent { memories.giveBackIfUnused(id) }
    }

    /// A place for pages of an address space that were mapped before a restart.
    func restoreLent(_ mapping: KeptMapping) throws(IOMMUError) -> ObjectID {
        let mm = mapping.memory & ~MapRequest.spaceFlag
        guard let lender else { throw .callersMemoryOnly(mm: mm) }
        return memories.insert(try lender.lend(mm: mm, va: mapping.offset, length: mapping.length))
    }
}

extension IOMMUError {
    /// `EOPNOTSUPP`: nobody can map pages of another process.
    package static func callersMemoryOnly(mm: ObjectID) -> IOMMUError {
        IOMMUError(
            .EOPNOTSUPP, .callersMemoryOnly,
            "pages of mm \(mm) cannot be mapped: this backend maps only memory that was handed over",
            hint: "put them into a memfd, hand it over with memory.import, and map that",
            ["mm": .number(UInt64(mm))])
    }
}
