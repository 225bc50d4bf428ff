import IOMMU
import SMMUv3

/// How the addresses of an access become physical ones, or the access waits or ends.
extension DMAEngine {
    /// Appends where a span lies; false if the access was parked or finished instead.
    func translate(
        _ span: DeviceAccess.Span, of access: DeviceAccess, into segments: inout [DeviceAccess.Segment]
    ) -> Bool {
        var address = span.address
        var left = span.length
        while left > 0 {
            let absent = absence(in: access, span.access, from: address)
            guard let output = translate(address, span.access, of: access, isAbsent: absent == address) else {
                return false
            }
            let page = max(output.pageSize, 4096)
            var count = min(left, page &- (address & (page &- 1)))
            if let absent, absent > address { count = min(count, absent &- address) }
            if let last = segments.last, last.address &+ last.length == output.address {
                segments[segments.count - 1].length += count
            } else {
                segments.append(DeviceAccess.Segment(address: output.address, length: count))
            }
            address &+= count
            left -= count
        }
        return true
    }

    /// Where an address lies, and how large its page is.
    private typealias Place = (address: UInt64, pageSize: UInt64)

    /// Where, from an address on, the process behind a mapping has no page; nil: nothing is known of it.
    private func absence(in access: DeviceAccess, _ kind: SMMUv3.Access, from address: UInt64) -> UInt64? {
        guard let absent = access.absent, absent.kind == kind, absent.address >= address else { return nil }
        return absent.address
    }

    /// One transaction; nil if the access was parked or finished instead.
    ///
    /// - Parameter isAbsent: it has been found that the page is not there. What was kept of it is of no use.
    private func translate(
        _ address: UInt64, _ kind: SMMUv3.Access, of access: DeviceAccess, isAbsent: Bool
    ) -> Place? {
        let transaction = Transaction(
            streamID: access.streamID, substreamID: access.pasid, address: address, access: kind
        )
        if isAbsent {
            // The next attempt looks anew.
            access.absent = nil
            return submit(transaction, of: access, isAbsent: true)
        }
        guard access.usesATS() else { return submit(transaction, of: access) }
        if let known = caches[access.streamID]?.output(for: address, pasid: access.pasid, kind) {
            return submitTranslated(known, transaction, of: access)
        }
        var request = transaction
        request.addressType = .translationRequest
        switch smmu.translate(request) {
        case .ok(let output) where kind == .write ? output.attributes.isWritable : output.attributes.isReadable:
            cache(of: access.streamID).insert(output, for: address, pasid: access.pasid, kind)
            return submitTranslated((output.address, output.pageSize), transaction, of: access)
        case .ok where access.usesPageRequests, .terminated(.atsNoAccess) where access.usesPageRequests:
            requestPage(transaction, of: access)
            return nil
        // What the request does not grant an ordinary access gets, or the proper report.
        case .ok, .terminated, .fault, .stalled, .held: return submit(transaction, of: access)
        }
    }

    private func cache(of streamID: UInt32) -> TranslationCache {
        if let known = caches[streamID] { return known }
        let made = TranslationCache()
        caches[streamID] = made
        return made
    }

    /// A Translated transaction: the SMMU only looks whether the stream may make any.
    private func submitTranslated(_ place: Place, _ transaction: Transaction, of access: DeviceAccess) -> Place? {
        var translated = transaction
        (translated.addressType, translated.address) = (.translated, place.address)
        guard submit(translated, of: access) != nil else { return nil }
        return place
    }

    private func submit(_ transaction: Transaction, of access: DeviceAccess, isAbsent: Bool = false) -> Place? {
        let address = transaction.address
        smmu.admitsStalls = places.admits(access)
        switch isAbsent ? smmu.translateWithoutPage(transaction) : smmu.translate(transaction) {
        case .ok(let output): return (output.address, output.pageSize)
        case .held:
            // It has not been tried: the SMMU has not taken it.
            access.attempts -= 1
            if places.isShareUsed(by: access.owner) {
                access.fail(places.overShare(access.owner))
            } else {
                places.hold(access)
                smmu.reportsConfiguration = true
            }
        case .stalled(let tag, let record, _):
            places.take(access.owner)
            access.ticket = nil
            stalled[StallKey(streamID: access.streamID, tag: tag)] = Stalled(
                access: access, record: record, address: address)
        // CD.A = 0: the device is told that it went well.
        case .fault where !smmu.lastFaultAborts: access.finish(.success(readAsZero(access.operation)))
        case .fault(let record, recorded: true):
            access.fail(access.failure(record, at: address))
        case .fault(_, recorded: false): access.fail(terminated(.faultNotRecorded, address, access))
        case .terminated(.readAsZero): access.finish(.success(readAsZero(access.operation)))
        case .terminated(let termination): access.fail(terminated(termination, address, access))
        }
        return nil
    }

    func readAsZero(_ operation: DeviceOperation) -> DeviceOutcome {
        var outcome = DeviceOutcome(completed: operation.length)
        if case .read(_, let length) = operation { outcome.bytes = [UInt8](repeating: 0, count: Int(length)) }
        return outcome
    }

    /// What an access hears whose fault is refused because its address space has ended meanwhile: the same as accesses
    /// that come later. nil if it has not.
    ///
    /// - Parameter address: where it is known; else where the access goes on.
    func ending(_ access: DeviceAccess, at address: UInt64?) -> IOMMUError? {
        guard access.isQuiesced() else { return nil }
        let spans = access.spans(of: access.piece)
        return terminated(.faultNotRecorded, address ?? (spans.source ?? spans.target)?.address ?? 0, access)
    }

    private func terminated(_ termination: Termination, _ address: UInt64, _ access: DeviceAccess) -> IOMMUError {
        let reason = access.reason(termination)
        let cause = access.causes?.of(termination)
        let meaning = cause.map { ": " + $0.meaning } ?? ""
        var error = IOMMUError(
            .EFAULT, reason, "the SMMU ended the access at \(hexadecimal(address)) without a record\(meaning)",
            hint: cause?.hint ?? "look at what the stream's STE and CD say: smmu.ste, smmu.cd",
            ["stream_id": .number(UInt64(access.streamID)), "address": .hex(address)]
        )
        if let pasid = access.pasid { error = error.with("pasid", .number(UInt64(pasid))) }
        return error
    }
}
