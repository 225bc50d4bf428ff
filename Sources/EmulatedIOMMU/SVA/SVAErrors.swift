import IOMMU

extension IOMMUError {
    /// The address space has ended.
    static var mmExited: IOMMUError {
        IOMMUError(
            .ESRCH, "mm_exited", "the address space has ended: its last process has exited or executed another program",
            hint: "open the address space of a running process"
        )
    }

    /// What waited for a bond that has ended.
    static var svaUnbound: IOMMUError {
        IOMMUError(.ECANCELED, "sva_unbound", "the address space was unbound from the device while the access waited")
    }

    static var queueStopped: IOMMUError {
        IOMMUError(.ECANCELED, "queue_stopped", "the queue was stopped while the operation ran")
    }

    static func deviceRemoved(_ name: String) -> IOMMUError {
        IOMMUError(
            .ENODEV, "device_removed", "device \(name) has been removed", hint: "close what still refers to it",
            ["name": .text(name)]
        )
    }
}
