import CLinux
import Glibc
import LinuxIO

/// What the running kernel has, found out by calls that change nothing: each is refused for its arguments if it is
/// there, and with ENOTTY if it is not.
package struct KernelFeatures: Sendable, Equatable {
    /// `IOMMU_IOAS_MAP_FILE`, from 6.13 on.
    package var mapsFiles = false
    /// `IOMMU_HWPT_SET_DIRTY_TRACKING`, from 6.7 on.
    package var tracksDirtyPages = false
    /// `IOMMU_FAULT_QUEUE_ALLOC`, from 6.11 on.
    package var deliversFaults = false
    /// `IOMMU_VIOMMU_ALLOC`, from 6.13 on.
    package var nests = false

    /// Those of a kernel that has only what 6.2 had.
    package init() {}

    /// Asks the kernel behind an open iommufd.
    package init(of handle: KernelHandle) {
        var mapping = clinux_iommu_ioas_map_file()
        mapping.flags = .max
        mapsFiles = Self.has(IOMMUFD.ioasMapFile, mapping, handle)
        var tracking = clinux_iommu_hwpt_set_dirty_tracking()
        tracking.flags = .max
        tracksDirtyPages = Self.has(IOMMUFD.hwptSetDirtyTracking, tracking, handle)
        var queue = clinux_iommu_fault_alloc()
        queue.flags = .max
        deliversFaults = Self.has(IOMMUFD.faultQueueAlloc, queue, handle)
        var viommu = clinux_iommu_viommu_alloc()
        viommu.flags = .max
        nests = Self.has(IOMMUFD.viommuAlloc, viommu, handle)
    }

    /// Unknown flags are refused by every kernel that knows the call.
    private static func has<Structure>(
        _ call: KernelCall<Structure>, _ refused: Structure, _ handle: KernelHandle
    ) -> Bool {
        var argument = refused
        do throws(KernelFailure) {
            try handle.perform(call, &argument)
            return true
        } catch {
            return error.errno != ENOTTY
        }
    }

    /// As `daemon.info` lists them.
    var names: [String] {
        let all: [(Bool, String)] = [
            (nests, "nested"), (tracksDirtyPages, "dirty_tracking"), (deliversFaults, "page_faults"), (true, "vsmmu"),
        ]
        return all.filter(\.0).map(\.1)
    }
}
