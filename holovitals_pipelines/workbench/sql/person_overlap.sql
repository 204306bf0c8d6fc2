-- One row a pair of connections: persons that both of them know.
select one.connection, other.connection as other_connection, count(distinct one.patient_key) as persons
from person_members as one
join person_members as other on other.patient_key = one.patient_key and other.connection > one.connection
where one.state = 'active' and other.state = 'active'
group by one.connection, other.connection
order by persons desc, one.connection, other.connection
