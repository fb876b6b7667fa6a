package weights
import ("testing";"fmt";"path/filepath")
func TestZZ(t *testing.T){
 for _, n := range []string{"nano-flash","nano-pro"} {
 m,_:=fileModule(t,filepath.Join(goldenDir,n,"checkpoint","config.json"))
 r,err:=Inspect(m,filepath.Join(goldenDir,n,"checkpoint"),InspectOptions{Full:true}); if err!=nil{t.Fatal(err)}
 fmt.Println(r.Text()); }
 r,_:=Inspect(tinyModule(t),makeTiny(t),InspectOptions{})
 fmt.Println(r.Text()); 
 b,_:=r.JSON(); fmt.Println(string(b[:3000]))
}
