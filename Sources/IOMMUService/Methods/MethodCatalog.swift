import IOMMU
import JSONRPC
import LinuxIO

/// Every method of the daemon, declared once.
package enum MethodCatalog {
    /// The version of the contract: `minor` grows with additions, `major` with anything that breaks a client.
    package static let api = (major: UInt32(1), minor: UInt32(0))

    /// What any method can be refused with.
    package static let general = [
        GeneralRefusal(
            "StateFull", errno: Errno.ENOSPC.rawValue, reason: Reason.stateFull.slug,
            "A named session would change, and the state directory has no room to write that down."),
        GeneralRefusal(
            "StateUnwritable", errno: Errno.EIO.rawValue, reason: Reason.stateUnwritable.slug,
            "A named session would change, and what outlives the daemon cannot be written."),
        GeneralRefusal(
            "StateCorrupt", errno: Errno.EIO.rawValue, reason: Reason.stateCorrupt.slug,
            "What was stored before the daemon was started again cannot be read: only state.discard is carried out."),
    ]

    /// The whole table, `rpc.discover` included.
    package static func make() -> MethodTable<Service> {
        var methods = MethodTable<Service>()
        declareDaemonMethods(&methods)
        declareSessionMethods(&methods)
        declareStateMethods(&methods)
        declareEventMethods(&methods)
        declareMemoryMethods(&methods)
        declareIOASMethods(&methods)
        declareIOASInspectionMethods(&methods)
        declareDeviceMethods(&methods)
        declareExportMethods(&methods)
        declareHWPTMethods(&methods)
        declareFaultMethods(&methods)
        declareViommuMethods(&methods)
        declareAddressSpaceMethods(&methods)
        declareSVAMethods(&methods)
        declareQueueMethods(&methods)
        declareDMAMethods(&methods)
        declareSMMUMethods(&methods)
        declareHotplugMethods(&methods)
        declareVSMMUMethods(&methods)
        methods.declareDiscovery(title: title, version: DaemonVersion.text, besides: supplement)
        return methods
    }

    /// What `rpc.discover` answers.
    package static func document() -> JSONValue {
        OpenRPC.document(make().declarations, title: title, version: DaemonVersion.text, besides: supplement)
    }

    private static let title = "iommud"
    private static let supplement = DocumentSupplement(
        general: general, kinds: EventDeclarations.all, examples: MethodExamples.all)
}
