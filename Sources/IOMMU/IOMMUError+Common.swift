/// Refusals that more than one module makes.
extension IOMMUError {
    /// `EMFILE`: something takes a descriptor, and the daemon has none.
    package static var noDescriptors: IOMMUError {
        IOMMUError(
            .EMFILE, .noDescriptors, "the daemon has no descriptor left",
            hint: "close objects that hold descriptors, or raise the daemon's LimitNOFILE")
    }

    /// `ENOENT`: an id that the session has not given to anything of the kind.
    ///
    /// - Parameters:
    ///   - kind: as messages name it: "memory object".
    ///   - key: as requests name it: "memory".
    package static func unknown(_ reason: Reason, _ kind: String, _ id: ObjectID, key: String) -> IOMMUError {
        IOMMUError(
            .ENOENT, reason, "there is no \(kind) \(id) in this session", hint: "session.objects lists what there is",
            [key: .number(UInt64(id))])
    }

    /// `ECANCELED`: what a call waited for ends with its session.
    package static var sessionClosed: IOMMUError {
        IOMMUError(
            .ECANCELED, .sessionClosed, "the session was closed while the call waited",
            hint: "make what the call needs again in a session that stays open")
    }

    /// `EOVERFLOW`: a range that ends beyond 2⁶⁴.
    package static func wrapping(_ start: UInt64, length: UInt64) -> IOMMUError {
        IOMMUError(
            .EOVERFLOW, .iovaOverflow, "\(span(length, at: start)) wrap at the end of the address space",
            hint: "keep iova + length within 64 bits", ["iova": .hex(start), "length": .hex(length)])
    }
}
