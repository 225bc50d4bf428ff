import IOMMU

extension IOMMUError {
    /// The address space has ended.
    static var mmExited: IOMMUError {
        IOMMUError(
            .ESRCH, .mmExited, "the address space has ended: its last process has exited or executed another program",
            hint: "open the address space of a running process"
        )
    }

    /// What waited for a bond that has ended.
    static var svaUnbound: IOMMUError {
        IOMMUError(.ECANCELED, .svaUnbound, "the address space was unbound from the device while the access waited")
    }

    static var queueStopped: IOMMUError {
        IOMMUError(.ECANCELED, .queueStopped, "the queue was stopped while the operation ran")
    }

    static func deviceRemoved(_ name: String) -> IOMMUError {
        IOMMUError(
            .ENODEV, .deviceRemoved, "device \(name) has been removed", hint: "close what still refers to it",
            ["name": .text(name)]
        )
    }
}
