import IOMMU

extension IOMMUError {
    /// The address space has ended.
    ///
    /// - Parameter name: of it, for messages.
    static func mmExited(_ name: String = "the address space") -> IOMMUError {
        IOMMUError(
            .ESRCH, .mmExited, "\(name) has ended: its last process has exited or executed another program",
            hint: "open that of a running process"
        )
    }

    /// As above, of an address space that a session knows.
    static func mmExited(mm: ObjectID) -> IOMMUError { mmExited("mm \(mm)").with("mm", .number(UInt64(mm))) }

    /// What waited for a bond that has ended.
    static var svaUnbound: IOMMUError {
        IOMMUError(
            .ECANCELED, .svaUnbound, "the address space was unbound from the device while the access waited",
            hint: "call sva.bind, and start the access again")
    }

    static var queueStopped: IOMMUError {
        IOMMUError(
            .ECANCELED, .queueStopped, "the queue was stopped while the operation ran",
            hint: "call queue.start, and submit it again")
    }

    static func deviceRemoved(_ name: String) -> IOMMUError {
        IOMMUError(
            .ENODEV, .deviceRemoved, "device \(name) has been removed", hint: "close what refers to it",
            ["name": .text(name)]
        )
    }
}
