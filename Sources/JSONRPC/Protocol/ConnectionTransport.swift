/// What a connection tells the one who carries its bytes.
protocol ConnectionTransport: AnyObject {
    /// A parked call has been answered: the next request may run, and there is something to send.
    func connectionMayGoOn()
    /// A notification waits to be sent.
    func connectionHasNotification()
    /// Requests wait for the connection's next turn: ``Connection/beginTurn()`` when it comes.
    func connectionWaitsForTurn()
    /// What may be sent is to be sent at once, as far as the client takes it.
    func connectionSendsNow()
    /// Where the client is connected.
    var socketNumber: Int32 { get }
}
